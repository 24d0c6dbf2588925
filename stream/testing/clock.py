"""Virtual time: nothing waits, and a run of hours takes milliseconds."""

_EPOCH_S = 1_700_000_000.0


class FakeClock:
    """A `Clock` that moves only in `sleep` and `advance`."""

    def __init__(self) -> None:
        self._now = 1_000.0  # not 0: code that takes 0 for "never" would go unnoticed

    def monotonic(self) -> float:
        return self._now

    def now(self) -> float:
        return _EPOCH_S + self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        assert seconds >= 0
        self._now += seconds
