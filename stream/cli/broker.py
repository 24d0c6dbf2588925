"""`broker`: Apache Kafka in the foreground."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from stream.broker.jars import KAFKA_VERSION, versions
from stream.cli.app import admin_client, out, settings
from stream.config import load_settings
from stream.errors import Fatal
from stream.tools.kafka.topic_creation import create_topics
from stream.worker.startup import retry_while_unreachable


def broker(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes any free port.")] = 9092,
    data: Annotated[
        Path | None, typer.Option(help="Folder for the data; by default a temporary folder.")
    ] = None,
    kafka: Annotated[str, typer.Option(help=f"Version of Kafka: {', '.join(versions())}.")] = KAFKA_VERSION,
) -> None:
    """Run Apache Kafka on this machine until Ctrl-C, and create the topics of the settings."""
    from stream.broker.embedded import EmbeddedBroker  # noqa: PLC0415 - slow to import

    chosen = settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with EmbeddedBroker(port=port, data_dir=data, kafka=kafka, java=chosen.java) as running:
        here = load_settings(bootstrap_servers=running.bootstrap_servers)
        admin = admin_client(here)
        for line in retry_while_unreachable(
            here, lambda: create_topics(admin, here, None, None, repair=False)
        ):
            out.print(line)
        out.print(
            f"Kafka {kafka} runs at {running.bootstrap_servers}; Ctrl-C stops it. In other terminals:\n"
        )
        out.print(f"  export STREAM_BOOTSTRAP_SERVERS={running.bootstrap_servers}\n")
        if data is None:
            out.print("Its data are temporary and are deleted when it stops; --data FOLDER keeps them.")
        out.file.flush()
        while not stopped.wait(0.5):
            if running.pid is None:
                raise Fatal(f"the broker ended unexpectedly; the end of its log:\n{running.log_tail()}")
    if data is None:
        out.print("The broker has stopped, and its data are deleted: what starts next is another cluster.")
