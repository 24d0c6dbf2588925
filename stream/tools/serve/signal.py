"""Wakes coroutines when the view has changed."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ViewSignal:
    """One writer thread notifies; coroutines of one event loop wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = asyncio.Event()
        self._is_scheduled = False

    def notify(self) -> None:
        """Wake all waiting coroutines; called by the writer."""
        if not self._is_scheduled and not self._loop.is_closed():
            self._is_scheduled = True
            self._loop.call_soon_threadsafe(self._wake)

    async def wait(self, seconds: float) -> bool:
        """Return True after the next change; False if there is none within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def until(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """Return what `look` returns once it is not None; None if that takes too long."""
        deadline = self._loop.time() + seconds
        while (seen := look()) is None and (remaining_s := deadline - self._loop.time()) > 0:
            await self.wait(remaining_s)
        return seen

    def _wake(self) -> None:
        self._is_scheduled = False
        self._changed.set()
        self._changed = asyncio.Event()
