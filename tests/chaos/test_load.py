import pytest

from stream.config import load_settings
from stream.core.dictionary import build_index
from stream.tools.chaos import load
from stream.tools.chaos.load import Load, Size


def test_a_producer_that_delivers_nothing_is_told_from_workers_that_do_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "STALLED_S_MAX", 0.3)
    nobody = load_settings(bootstrap_servers="localhost:1")
    stuck = Load(nobody, build_index(["cat", "dog"]), Size(10, 2), seed=1, partitions=2)
    stuck.start()
    stuck.join(10)
    assert not stuck.is_alive()
    assert "campaign's own producer: none of 10 blobs" in stuck.failed
