"""`broker`: Apache Kafka in the foreground, one node or a cluster of several."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.broker.jars import KAFKA_VERSION, versions
from stream.cli.app import admin_client, out, say, settings
from stream.config import load_settings
from stream.errors import Fatal
from stream.tools.kafka.topic_creation import create_topics
from stream.worker.startup import retry_while_unreachable

if TYPE_CHECKING:
    from stream.broker.cluster import EmbeddedCluster


def broker(
    port: Annotated[
        int,
        typer.Option(
            help="Port on this machine; further nodes have the following ones. 0 takes any free ports."
        ),
    ] = 9092,
    nodes: Annotated[
        int,
        typer.Option(
            help="Nodes of the cluster: 1, 3, 5 or 7. From 3 on, each topic has three replicas and "
            "min.insync.replicas=2, and groups have Kafka's default settings."
        ),
    ] = 1,
    data: Annotated[
        Path | None, typer.Option(help="Folder for the data; by default a temporary folder.")
    ] = None,
    kafka: Annotated[str, typer.Option(help=f"Version of Kafka: {', '.join(versions())}.")] = KAFKA_VERSION,
) -> None:
    """Run Apache Kafka on this machine until Ctrl-C, and create the topics of the settings."""
    from stream.broker.cluster import EmbeddedCluster  # noqa: PLC0415 - slow to import

    chosen = settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with EmbeddedCluster(nodes=nodes, port=port, data_dir=data, kafka=kafka, java=chosen.java) as cluster:
        here = load_settings(bootstrap_servers=cluster.bootstrap_servers)
        admin = admin_client(here)
        for line in retry_while_unreachable(
            here, lambda: create_topics(admin, here, None, None, repair=False)
        ):
            out.print(line)
        what = f"Kafka {kafka} runs at" if nodes == 1 else f"{nodes} nodes of Kafka {kafka} run at"
        servers = cluster.bootstrap_servers
        out.print(f"{what} {servers}; Ctrl-C stops {'it' if nodes == 1 else 'them'}. In other terminals:\n")
        out.print(f"  export STREAM_BOOTSTRAP_SERVERS={servers}\n", soft_wrap=True)
        if data is None:
            out.print("Its data are temporary and are deleted when it stops; --data FOLDER keeps them.")
        out.file.flush()
        ended: set[int] = set()
        while not stopped.wait(0.5):
            _report_ended(cluster, ended)
    if data is None:
        out.print("The broker has stopped, and its data are deleted: what starts next is another cluster.")


def _report_ended(cluster: "EmbeddedCluster", ended: set[int]) -> None:
    """Print which nodes ended, and add them to `ended`; the others continue while they are a majority.

    Raises:
        Fatal: the broker ended, or most nodes did.
    """
    for node, running in enumerate(cluster.brokers, start=1):
        if running.pid is None and node not in ended:
            ended.add(node)
            which = "the broker" if cluster.nodes == 1 else f"node {node} of the cluster"
            report = f"{which} ended unexpectedly; the end of its log:\n{running.log_tail()}"
            if 2 * len(ended) > cluster.nodes:
                raise Fatal(report)
            say(f"{report}\n{which} ended; the others continue")
