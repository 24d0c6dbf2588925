"""Short traces, drawn from a seed: each step has the same outcome on the fake and on real Kafka."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from support.worlds import LISTED, Member, Sight, World

from stream.core.columns import Outputs
from stream.core.evidence import CommittedOffset
from stream.core.records import OutputRecord
from stream.errors import Abortable, Retriable, StreamError
from stream.ports import Sink

IDS = ("one", "one", "two")  # transactional ids: two producers share one, as a worker and its successor do
BRIEF = "brief"
MEMBERS = 2
OUTLASTED = 0.2  # share of the draws: the step takes seconds
FINE = "fine"
T = TypeVar("T")


class Disagreement(AssertionError):
    """Real Kafka behaved differently from the fake."""


@dataclass
class Stage:
    """One world with its producers and members."""

    world: World
    sinks: list[Sink | None]
    members: list[Member | None]


class Trace:
    """Draws each step from the possible ones, and performs it in both worlds."""

    def __init__(self, seed: int, fake: World, real: World, partitions: int) -> None:
        self._rng = random.Random(seed)
        self._partitions = partitions
        self._stages = [Stage(world, [None] * len(IDS), [None] * MEMBERS) for world in (fake, real)]
        self._open: set[int] = set()  # sinks with an open transaction
        self._dead: set[int] = set()  # sinks that need a new producer
        self._values = 0
        self.steps: list[str] = []

    def run(self, steps: int) -> None:
        for _ in range(steps):
            name = self._rng.choice(self._possible())
            getattr(self, f"_do_{name}")()
        for sink in range(len(IDS)):
            if sink in self._open:
                self._end(sink, commit=self._rng.random() < 0.5)
        self._do_inspect()

    def close(self) -> None:
        for stage in self._stages:
            for member in stage.members:
                if member is not None:
                    member.leave()
            for sink in stage.sinks:
                if sink is not None:
                    sink.close()
            stage.world.close()

    # -- possible steps --------------------------------------------------------------------------------

    def _possible(self) -> list[str]:
        ready = [n for n in range(len(IDS)) if self._stages[0].sinks[n] is not None and n not in self._dead]
        names = ["submit", "reset_producer", "inspect", "join"]
        names += ["write", "write", "transact"] if set(ready) - self._open else []
        names += ["end", "end"] if self._open else []
        names += ["outlast"] if self._rng.random() < OUTLASTED else []
        names += ["leave", "take", "take"] if any(self._stages[0].members) else []
        names += ["carry", "carry", "carry"] if set(ready) - self._open and self._holders() else []
        names += ["stale"] if set(ready) - self._open and self._is_alone() else []
        return [*names, "trim"]

    def _is_alone(self) -> bool:
        return sum(member is not None for member in self._stages[0].members) == 1

    def _holders(self) -> list[int]:
        return [n for n, member in enumerate(self._stages[0].members) if member and member.records]

    # -- steps -----------------------------------------------------------------------------------------

    def _do_submit(self) -> None:
        partition, value = self._rng.randrange(self._partitions), self._value()
        self._both(f"submit to {partition}", lambda stage: stage.world.submit(partition, value))

    def _do_reset_producer(self) -> None:
        number = self._rng.randrange(len(IDS))

        def reset_producer(stage: Stage) -> str:
            sink = stage.sinks[number] = stage.sinks[number] or stage.world.sink(IDS[number])
            return _reset(sink)

        self._both(f"reset_producer {number}", reset_producer)
        self._open.discard(number)
        self._dead.discard(number)

    def _do_write(self) -> None:
        """Begin a transaction and leave it open."""
        number, partitions = self._free_sink(), self._some_partitions()
        value = self._value()

        def write(stage: Stage) -> str:
            sink = _of(stage.sinks[number])
            return _outcome(lambda: self._produce(stage, sink, partitions, value))

        if self._is_fenced(number):
            self._do_transact(number)
            return
        self._both(f"write {number} to {partitions}", write)
        self._open.add(number)

    def _do_transact(self, number: int | None = None) -> None:
        number = self._free_sink() if number is None else number
        partitions, value = self._some_partitions(), self._value()
        commit = self._rng.random() < 0.7

        def transact(stage: Stage) -> str:
            sink = _of(stage.sinks[number])
            outcome = _outcome(lambda: self._produce(stage, sink, partitions, value))
            return outcome if outcome != FINE else _outcome(sink.commit if commit else sink.abort)

        self._note_end(number, self._both(f"transact {number} {partitions} {commit}", transact))

    def _do_end(self) -> None:
        self._end(self._rng.choice(sorted(self._open)), commit=self._rng.random() < 0.6)

    def _end(self, number: int, *, commit: bool) -> None:
        def end(stage: Stage) -> str:
            sink = _of(stage.sinks[number])
            return _outcome(sink.commit if commit else sink.abort)

        self._open.discard(number)
        self._note_end(number, self._both(f"end {number} {commit}", end))

    def _do_outlast(self) -> None:
        """Let the coordinator abort a transaction; its producer fails, and a new one continues."""
        self._calm()
        commit, value = self._rng.random() < 0.5, self._value()

        def outlast(stage: Stage) -> str:
            sink = stage.world.sink(BRIEF, brief=True)
            _reset(sink)
            self._produce(stage, sink, [0], value)
            stage.world.outlast()
            outcome = _outcome(sink.commit if commit else sink.abort)
            return outcome + _reset(sink) + _outcome(sink.close)

        self._both(f"outlast {commit}", outlast)

    def _do_inspect(self) -> None:
        for role in LISTED:
            for partition in range(self._partitions):
                self._both(f"inspect {role} {partition}", _inspect(role, partition))
        self._both("inspect committed offsets", lambda stage: stage.world.committed)

    def _do_trim(self) -> None:
        role, partition = "results", self._rng.randrange(self._partitions)  # only this topic has retention
        sight = _inspect(role, partition)(self._stages[0])()
        first = self._rng.randint(sight.first, sight.stable)
        self._both(
            f"trim {role} {partition} to {first}",
            lambda stage: stage.world.trim(getattr(stage.world.names, role), partition, first),
        )

    def _do_join(self) -> None:
        free = [n for n, member in enumerate(self._stages[0].members) if member is None]
        if not free:
            return
        for stage in self._stages:
            member = stage.members[free[0]] = Member(stage.world, stage.world.source())
            member.join()
        self._settle(f"join {free[0]}")

    def _do_leave(self) -> None:
        self._leave(self._rng.choice([n for n, member in enumerate(self._stages[0].members) if member]))

    def _leave(self, number: int) -> None:
        for stage in self._stages:
            _of(stage.members[number]).leave()
            stage.members[number] = None
        self._settle(f"leave {number}")

    def _settle(self, step: str) -> None:
        """Poll until each partition has one owner and runs; then the shares must be equal in both worlds.

        No partition resumes while a transaction keeps the group's offsets unstable.
        """
        self._calm()

        def shares(stage: Stage) -> Callable[[], list[int]]:
            def ask() -> list[int]:
                members = [member for member in stage.members if member]
                errors = [error for member in members if (error := member.run_once())]
                assert not errors, errors
                owned = [len(member.owned) for member in members if not member.paused]
                return sorted(owned) if sum(owned) == self._partitions else []

            return ask

        stage = self._stages[0]
        while any(stage.members) and not shares(stage)():
            pass
        self._both(step, shares)
        self._do_take()

    def _calm(self) -> None:
        """Abort all open transactions, so that offsets are stable."""
        for number in sorted(self._open):
            self._end(number, commit=False)

    def _do_take(self) -> None:
        """Let the members receive all available records."""
        self._calm()

        def take(stage: Stage) -> Callable[[], object]:
            def ask() -> object:
                members = [member for member in stage.members if member]
                errors = [error for member in members if (error := member.run_once())]
                return errors or sorted(record for member in members for record in member.has())

            return ask

        take(self._stages[0])()
        self._both("take", take)

    def _do_carry(self) -> None:
        """Write results, totals and offsets of a member's records in one transaction, as the worker does."""
        sink_number = self._free_sink()
        if self._is_fenced(sink_number):
            self._do_transact(sink_number)
            return
        self._do_take()
        commit = self._rng.random() < 0.7

        def carry(stage: Stage) -> str:
            sink = _of(stage.sinks[sink_number])
            outcome = FINE
            # One transaction per member, with its own group metadata, as workers have.
            for member in sorted(_holding(stage), key=Member.has):
                outcome = _outcome(lambda member=member: self._carry(stage, sink, member))  # type: ignore[misc]
                if outcome == FINE:
                    outcome = _outcome(sink.commit if commit else sink.abort)
                elif outcome == Abortable.__name__:
                    outcome += _outcome(sink.abort)
                self._after(member, committed=commit and outcome == FINE)
                if outcome != FINE:
                    break
            return outcome

        self._note_end(sink_number, self._both(f"carry by {sink_number} {commit}", carry))

    def _do_stale(self) -> None:
        """Send offsets with group metadata from before another member joined and left."""
        (number,) = (n for n, member in enumerate(self._stages[0].members) if member)
        sink_number, moved_too = self._free_sink(), self._rng.random() < 0.5
        if self._is_fenced(sink_number):
            return
        self._settle("stale")
        before = [stage.world.metadata(_of(stage.members[number]).source) for stage in self._stages]
        self._do_join()
        other = 1 - number
        moved = [set(_of(stage.members[other]).owned) for stage in self._stages]
        self._leave(other)

        def stale(stage: Stage) -> str:
            index = self._stages.index(stage)
            stayed = set(range(self._partitions)) - moved[index]
            chosen = moved[index] | stayed if moved_too else stayed
            sent = dict.fromkeys(chosen, CommittedOffset(0))
            sink = _of(stage.sinks[sink_number])
            outcome = _outcome(lambda: _send(sink, before[index], sent))
            return outcome + _outcome(sink.abort)

        self._note_end(sink_number, self._both(f"stale {number} by {sink_number} {moved_too}", stale))

    # -- parts of steps --------------------------------------------------------------------------------

    def _produce(self, stage: Stage, sink: Sink, partitions: Sequence[int], value: bytes) -> None:
        sink.begin()
        for partition in partitions:
            sink.produce(Outputs.of([OutputRecord(stage.world.names.results, partition, b"k", value)]))
            sink.produce_changelog(partition, {b"act": value, b"dgo": value}, [("h", b"1")])
        stage.world.flush(sink)

    @staticmethod
    def _carry(stage: Stage, sink: Sink, member: Member) -> None:
        sink.begin()
        ends = {}
        for record in sorted(member.records, key=lambda record: (record.partition, record.offset)):
            result = OutputRecord(stage.world.names.results, record.partition, record.key, record.value)
            sink.produce(Outputs.of([result]))
            ends[record.partition] = CommittedOffset(record.offset + 1)
        for partition in sorted(ends):
            sink.produce_changelog(partition, {b"act": b"%d" % ends[partition].offset}, [("h", b"1")])
        stage.world.flush(sink)
        sink.send_offsets(ends, stage.world.metadata(member.source))

    @staticmethod
    def _after(member: Member, *, committed: bool) -> None:
        if not committed:
            first: dict[int, int] = {}
            for record in member.records:
                first[record.partition] = min(record.offset, first.get(record.partition, record.offset))
            member.source.rewind(first)
        member.records = []

    def _both(self, step: str, do: Callable[[Stage], object]) -> object:
        """Perform a step on the fake, then on Kafka; repeat a callable result until it equals the fake's."""
        self.steps.append(step)
        fake, real = self._stages
        expected = do(fake)
        if callable(expected):
            expected = expected()
        actual = do(real)
        if callable(actual):
            actual = real.world.agree(actual, expected)
        if actual != expected:
            steps = "\n  ".join(self.steps)
            raise Disagreement(f"Kafka: {actual}\nfake:  {expected}\nafter:\n  {steps}")
        return expected

    def _note_end(self, number: int, outcome: object) -> None:
        if outcome not in {FINE, FINE + FINE, Abortable.__name__ + FINE}:
            self._dead.add(number)

    def _is_fenced(self, number: int) -> bool:
        """Return whether a later producer has its id, so that it fails at the end of its transaction."""
        resets = [step for step in self.steps if step.startswith("reset_producer")]
        twins = [f"reset_producer {n}" for n, name in enumerate(IDS) if name == IDS[number]]
        last = next(step for step in reversed(resets) if step in twins)
        return last != f"reset_producer {number}"

    def _free_sink(self) -> int:
        stage = self._stages[0]
        return self._rng.choice(
            [
                n
                for n, sink in enumerate(stage.sinks)
                if sink is not None and n not in self._open and n not in self._dead
            ]
        )

    def _some_partitions(self) -> list[int]:
        return sorted(self._rng.sample(range(self._partitions), self._rng.randint(1, self._partitions)))

    def _value(self) -> bytes:
        self._values += 1
        return b"%d" % self._values


def _outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except StreamError as error:
        return type(error).__name__
    return FINE


def _holding(stage: Stage) -> list[Member]:
    return [member for member in stage.members if member and member.records]


def _reset(sink: Sink) -> str:
    # Retriable while another producer with this id has an open transaction.
    while (outcome := _outcome(sink.reset_producer)) == Retriable.__name__:
        pass
    return outcome


def _send(sink: Sink, group: object, offsets: dict[int, CommittedOffset]) -> None:
    sink.begin()
    sink.send_offsets(offsets, group)


def _inspect(role: str, partition: int) -> Callable[[Stage], Callable[[], Sight]]:
    return lambda stage: lambda: stage.world.inspect(getattr(stage.world.names, role), partition)


def _of(actual: T | None) -> T:
    assert actual is not None
    return actual
