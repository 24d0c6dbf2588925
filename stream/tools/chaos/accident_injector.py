"""Causes an accident in the cluster of a campaign."""

from collections.abc import Callable

from stream.config import Settings
from stream.errors import Fatal, Retriable
from stream.kafka.clients import make_admin, reader_options
from stream.kafka.futures import result_of
from stream.kafka.offsets import committed_offsets, offset_ranges, partitions_of
from stream.kafka.topics import REQUEST_TIMEOUT_S, describe, names
from stream.tools.chaos.accident import OUTPUTS, Accident, AccidentReport, Change
from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.fleet import Fleet, Restart
from stream.tools.chaos.log_truncation import Truncation, has_transaction, start_of_epoch, truncate_log
from stream.tools.chaos.node_injector import NodeInjector
from stream.tools.chaos.unclean_election import truncate_by_election
from stream.tools.chaos.waiter import Waiter
from stream.tools.kafka.group import describe_group
from stream.tools.kafka.moved_offsets import move_offsets
from stream.tools.kafka.topic_creation import create_topics

ACCIDENT_S_MAX = 120.0  # until the first dead letter; a static member leaves when its session ends
COMMITTED_TIMEOUT_S = 5.0
AHEAD = 5  # offsets that are skipped at least, per partition


class AccidentInjector:
    """Causes an accident; afterwards the workers run, and those that refuse are not started again."""

    def __init__(  # noqa: PLR0913 - what an accident changes
        self,
        settings: Settings,
        partitions: int,
        *,
        cluster: Cluster,
        nodes: NodeInjector,
        fleet: Fleet,
        waiter: Waiter,
        stop_input: Callable[[], None],
    ) -> None:
        self.settings = settings
        self._admin = make_admin(settings)
        self._partitions = range(partitions)
        self._cluster = cluster
        self._nodes = nodes
        self._stop_input = stop_input
        self._fleet = fleet
        self._waiter = waiter

    def inject(self, kind: Accident) -> AccidentReport:
        """Cause the accident.

        Raises:
            Fatal: it did not happen.
        """
        if kind.role == "offsets":
            self._fleet.restart = Restart.NONE
            self._fleet.stop()
            self.wait_until_unused()
            change = self._change_offsets(kind)
            self._fleet.restart = Restart.UNLESS_REFUSED
            self._fleet.start_again()
            return AccidentReport(kind, change)
        self._fleet.restart = Restart.UNLESS_REFUSED
        topic = names(self.settings)[kind.role]
        if kind.role in OUTPUTS:  # something to lose
            self._until(f"a transaction in {topic}", lambda: self._has_transaction(topic))
        if kind.is_truncation and self._cluster.nodes > 1:
            change = truncate_by_election(self._cluster, self._nodes, topic, self._stop_input)
        else:
            if kind.role == "input":
                self._stop_input()
            change = self._truncate(kind.role) if kind.is_truncation else self._recreate(kind.role)
        self._until("the leaders of the topic", lambda: self._has_leaders(topic))
        return AccidentReport(kind, change)

    def wait_until_unused(self) -> None:
        """Wait until the group has no members.

        Raises:
            Fatal: it still has members after `ACCIDENT_S_MAX`.
        """
        self._until("the group to have no members", self._is_unused)

    def committed(self) -> dict[int, int | None]:
        """Return the group's committed offsets."""
        options = reader_options(self.settings)
        topic = self.settings.input_topic
        return committed_offsets(options, topic, self._partitions, COMMITTED_TIMEOUT_S)

    def _change_offsets(self, kind: Accident) -> Change:
        group, topic = self.settings.group_id, self.settings.input_topic
        if kind is Accident.OFFSETS_DELETED:
            result_of(self._admin.delete_consumer_groups([group])[group])
            return Change("all committed offsets were deleted")
        committed = {partition: offset or 0 for partition, offset in self.committed().items()}
        moved = {partition: offset // 2 for partition, offset in committed.items()}
        if kind is Accident.OFFSETS_AHEAD:
            self._until(
                "uncounted input",
                lambda: all(end >= committed[p] + AHEAD for p, end in self._ends().items()),
            )
            moved = self._ends()
        move_offsets(self._admin, group, topic, moved)
        pairs = ", ".join(f"{offset} to {moved[partition]}" for partition, offset in committed.items())
        return Change(f"another client moved the committed offsets of all partitions: {pairs}")

    def _recreate(self, role: str) -> Change:
        name, former = names(self.settings)[role], describe(self._admin, self.settings)[role].id
        result_of(self._admin.delete_topics([name], request_timeout=REQUEST_TIMEOUT_S)[name])

        def is_new() -> bool:
            create_topics(self._admin, self.settings, len(self._partitions), None, repair=False)
            return describe(self._admin, self.settings)[role].id != former

        self._until(f"the new topic {name}", is_new)
        return Change(f"the topic {name} was deleted and created again")

    def _truncate(self, role: str) -> Change:
        name, folder = names(self.settings)[role], self._cluster.data_dir()
        truncated = list[Truncation]()
        self._cluster.restart(lambda: truncated.append(truncate_log(folder, name)))
        partition, former, end = truncated[0]
        self._until("the truncated log", lambda: start_of_epoch(folder, name, partition) == end)
        what = f"the log of {name}, partition {partition}, was truncated from offset {former} to {end}"
        return Change(what, partition, end)

    def _has_transaction(self, topic: str) -> bool:
        nodes = range(1, self._cluster.nodes + 1)
        return any(has_transaction(self._cluster.data_dir(node), topic) for node in nodes)

    def _has_leaders(self, topic: str) -> bool:
        return bool(offset_ranges(self._admin, topic, partitions_of(self._admin, topic)))

    def _is_unused(self) -> bool:
        return not describe_group(self._admin, self.settings.group_id, self.settings.input_topic).members

    def _ends(self) -> dict[int, int]:
        ranges = offset_ranges(self._admin, self.settings.input_topic, self._partitions)
        return {partition: end for partition, (_, end) in ranges.items()}

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            try:
                return condition()
            except Retriable:
                return False

        if not self._waiter.until(holds, ACCIDENT_S_MAX):
            raise Fatal(f"the accident did not happen: waited {ACCIDENT_S_MAX:.0f} s for {what}")
