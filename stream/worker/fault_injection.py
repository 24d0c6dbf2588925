"""The worker under a fault plan: stages fail and are tried again, and the waits of a batch go together."""

from collections import Counter
from collections.abc import Callable, Iterable

from stream.core.records import InputRecord
from stream.exercise.faults import Faults, Stage
from stream.ports import Clock
from stream.worker.processing import Bury, Count, Processed, StagedProcessor, Step
from stream.worker.retry import Retrier

Tokens = Callable[[InputRecord], Iterable[str]]
"""The words of a record's text. Raises Rejected where it has none."""
Tell = Callable[[str, str, int], None]
"""Told how often a kind of fault met a stage."""


class SharedWaits:
    """A `Clock` on which waits pass at the same time.

    A wait is noted and not slept: time runs ahead for the record that waits, and `go` sets it back for
    the next, which waits meanwhile. `pay` sleeps the longest of them all, once.

    Attributes:
        ahead_s: how far its time is before the real one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._longest_s = 0.0
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        """Seconds; only differences mean something."""
        return self._clock.monotonic() + self.ahead_s

    def now(self) -> float:
        """Seconds since the epoch, really."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Note a wait."""
        self.ahead_s += seconds
        self._longest_s = max(self._longest_s, self.ahead_s)

    def go(self, ahead_s: float) -> None:
        """Set time to so far before the real one."""
        self.ahead_s = ahead_s

    def pay(self) -> None:
        """Wait as long as the longest has noted."""
        longest_s, self._longest_s, self.ahead_s = self._longest_s, 0.0, 0.0
        if longest_s:
            self._clock.sleep(longest_s)


class FaultInjectingProcessor(StagedProcessor):
    """Counts batches as `Processor` does, but lets every record pass the stages' faults first.

    The retrier must work on `waits`. A stage is tried again by itself; a record whose attempts are spent
    at a stage is rejected.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what `Processor` is given, and the faults
        self,
        count: Count,
        bury: Bury,
        retrier: Retrier,
        waits: SharedWaits,
        deadline_s: float,
        faults: Faults,
        tokens: Tokens,
        tell: Tell = lambda *_: None,
        step: Step = lambda _: None,
    ) -> None:
        super().__init__(count, bury, step, retrier, waits, deadline_s)
        self._waits = waits
        self._faults = faults
        self._tokens = tokens
        self._tell = tell
        self._told: Counter[tuple[str, str]] = Counter()

    def process(self, records: list[InputRecord]) -> Processed:
        """Process records until all are done or the deadline is met; then wait for the slowest of them."""
        done = super().process(records)
        self._waits.pay()
        injected = self._faults.injected.copy()
        for (stage, kind), n in (injected - self._told).items():
            self._tell(stage, kind, n)
        self._told = injected
        return done

    def _pass(self, record: InputRecord, deadline: float) -> None:
        """Meet the faults of all stages; words are looked up at the same time, as they are independent."""
        self._waits.go(0.0)
        tokens = dict.fromkeys(self._tokens(record))
        self._meet(record, Stage.FILTER_INPUT, 0, "", deadline)
        self._meet(record, Stage.GET_WORDS, 1, "", deadline)
        began_s = slowest_s = self._waits.ahead_s
        for number, word in enumerate(tokens, start=2):
            self._waits.go(began_s)
            self._meet(record, Stage.FIND_ANAGRAMS, number, word, deadline)
            slowest_s = max(slowest_s, self._waits.ahead_s)
        self._waits.go(slowest_s)
        super()._pass(record, deadline)

    def _meet(self, record: InputRecord, stage: Stage, number: int, word: str, deadline: float) -> None:
        """Let one stage be met, again where it fails; `number` tells the steps of a record apart."""
        key = f"{record.partition}-{record.offset}/{word}"

        def step() -> None:
            met = self._faults.meet(stage, key)
            if met.delay_s:
                self._waits.sleep(met.delay_s)
            if met.error is not None:
                raise met.error

        self._retrier.call((record.partition, record.offset, number), step, deadline)
