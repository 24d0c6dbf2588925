"""The interface through which faults wait, while the campaign continues."""

from collections.abc import Callable
from typing import Protocol


class Waiter(Protocol):
    """Waits while the campaign continues."""

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds or the time has passed; return whether it holds."""
