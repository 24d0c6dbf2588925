"""A question to Kafka that is asked again while the answer is late."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from stream.errors import Retriable

T = TypeVar("T")


def retry_for(ask: Callable[[], T], seconds: float, wait_s: float) -> T:
    """Return the answer, asking for so long, with a wait between two attempts.

    Raises:
        Retriable: why the last attempt failed.
    """
    asking = Retrying(
        retry=retry_if_exception_type(Retriable),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(wait_s),
        reraise=True,
    )
    return asking(ask)
