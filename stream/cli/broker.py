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
        typer.Option(help="Port on this machine; further nodes use the next ports. 0: any free ports."),
    ] = 9092,
    nodes: Annotated[
        int,
        typer.Option(
            help="Number of nodes: 1, 3, 5 or 7. With 3 or more, each topic has three replicas and "
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
        out.print(f"{what} {servers}; press Ctrl-C to stop. In other terminals, run:\n")
        out.print(f"  export STREAM_BOOTSTRAP_SERVERS={servers}\n", soft_wrap=True)
        if data is None:
            out.print("The data is deleted when the broker stops; to keep it, use --data FOLDER.")
        out.file.flush()
        ended: set[int] = set()
        while not stopped.wait(0.5):
            _report_ended(cluster, ended)
    if data is None:
        out.print("The broker stopped, and its data was deleted. The next broker is a new cluster.")


def _report_ended(cluster: "EmbeddedCluster", ended: set[int]) -> None:
    """Report nodes that stopped, and add them to `ended`; the others continue while they are a majority.

    Raises:
        Fatal: the broker stopped, or most nodes did.
    """
    for node, running in enumerate(cluster.brokers, start=1):
        if running.pid is None and node not in ended:
            ended.add(node)
            which = "the broker" if cluster.nodes == 1 else f"node {node} of the cluster"
            report = f"{which} stopped unexpectedly; the last lines of its log:\n{running.log_tail()}"
            if 2 * len(ended) > cluster.nodes:
                raise Fatal(report)
            say(f"{report}\n{which} stopped; the others continue")
