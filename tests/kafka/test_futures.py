"""A request that never gets a response does not block the caller forever."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from stream.errors import Retriable
from stream.kafka import futures


@pytest.mark.parametrize(
    "wait",
    [
        futures.result_of,
        futures.wait_for_result,
        lambda future: futures.existing_results({"a": future}),
    ],
)
def test_a_response_that_never_arrives_is_retriable(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[Future[object]], object]
) -> None:
    monkeypatch.setattr(futures, "RESULT_S_MAX", 0.05)
    with pytest.raises(Retriable, match="no response to a request"):
        wait(Future())
