"""How faults wait: the campaign goes on meanwhile."""

from collections.abc import Callable
from typing import Protocol


class Waiter(Protocol):
    """Waits while the campaign goes on."""

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds or the time is over; return whether it holds."""
