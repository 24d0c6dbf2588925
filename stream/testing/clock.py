"""Virtual time: nothing waits, and a run of hours takes milliseconds."""

_EPOCH_S = 1_700_000_000.0


class FakeClock:
    """A clock that moves only when somebody sleeps on it or advances it."""

    def __init__(self) -> None:
        self._now = 1_000.0  # not 0: code that takes 0 for "never" would go unnoticed

    def monotonic(self) -> float:
        """Seconds; only differences mean something."""
        return self._now

    def now(self) -> float:
        """Seconds since the epoch."""
        return _EPOCH_S + self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let the time pass."""
        assert seconds >= 0
        self._now += seconds
