import pytest

from stream.config import load_settings
from stream.core.dictionary import build_index
from stream.tools.chaos import producer
from stream.tools.chaos.producer import CampaignProducer, InputSize


def test_producer_that_delivers_nothing_is_reported_as_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer, "STALLED_S_MAX", 0.3)
    no_broker = load_settings(bootstrap_servers="localhost:1")
    stuck = CampaignProducer(no_broker, build_index(["cat", "dog"]), InputSize(10, 2), seed=1, partitions=2)
    stuck.start()
    stuck.join(10)
    assert not stuck.is_alive()
    assert "none of 10 blobs was acknowledged" in stuck.failed


class AppendedBefore:
    """The delivery report of a retried record that the broker had already appended: it has no offset."""

    def partition(self) -> int:
        return 0

    def offset(self) -> None:
        return None


def test_blob_that_the_broker_had_appended_before_the_retry_counts_as_delivered() -> None:
    no_broker = load_settings(bootstrap_servers="localhost:1")
    retried = CampaignProducer(no_broker, build_index(["cat", "dog"]), InputSize(1, 2), seed=1, partitions=1)
    retried.acknowledge(None, AppendedBefore())
    assert retried.is_done
    assert retried.ends == {0: 0}
