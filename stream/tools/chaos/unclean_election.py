"""Truncates the log of a partition of a cluster: an election makes a replica leader that lacks records.

This is only for a topic without transactions. Otherwise the marker of a transaction may be lost while its
records stay, and Kafka never ends it: a reader of committed records waits there forever.
"""

from collections.abc import Callable

from stream.errors import Fatal
from stream.tools.chaos.accident import Change
from stream.tools.chaos.cluster import Cluster
from stream.tools.chaos.log_truncation import log_ends
from stream.tools.chaos.node_injector import NodeInjector
from stream.tools.chaos.plan import Fault, Kind

LEADERLESS_S = 1.0  # after the election, until the former leader returns


def truncate_by_election(
    cluster: Cluster, nodes: NodeInjector, topic: str, stop_input: Callable[[], None]
) -> Change:
    """Make a replica without the newest records the leader of the partition that loses most.

    `stop_input` stops the writes, after there are records that only the lost leader has.

    Raises:
        Fatal: no record was lost.
    """
    changes: list[Change] = []

    def elect(lost: int) -> None:
        stop_input()
        ends = {node: log_ends(cluster.data_dir(node), topic) for node in range(1, cluster.nodes + 1)}
        former = ends.pop(lost)
        kept = {partition: max(each.get(partition, 0) for each in ends.values()) for partition in former}
        partition = max(former, key=lambda number: former[number] - kept[number])
        if former[partition] == kept[partition]:
            what = f"node {lost} has no records of {topic} that the others lack"
            raise Fatal(f"the accident did not happen: {what}")
        nodes.ask("an unclean election", lambda: nodes.view.elect_unclean(topic, partition))
        leader = nodes.leader(topic, partition)
        end = ends[leader].get(partition, 0)
        what = f"node {leader} became the leader of {topic}, partition {partition}, without being in sync"
        offsets = f"its log was truncated from offset {former[partition]} to {end}"
        changes.append(Change(f"{what}: {offsets}", partition, end))

    nodes.lose_in_sync(Fault(Kind.IN_SYNC_DOWN, seconds=LEADERLESS_S), elect)
    if missing := nodes.await_in_sync():
        raise Fatal(f"the replicas are not in sync after the accident: {missing}")
    if not changes:
        raise Fatal("the accident did not happen: the partitions always had a leader")
    return changes[0]
