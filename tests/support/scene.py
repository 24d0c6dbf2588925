"""A broker, topics, and the processes that use them, scraped by a real Prometheus."""

import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer
from support.firing import Prometheus, free_port
from support.process import COMMAND, WorkerProcess
from support.serve_process import ServeProcess
from support.stranger import Stranger

from stream.broker.embedded import EmbeddedBroker


@dataclass
class Scene:
    """A broker, topics, and the processes that use them.

    Attributes:
        ports: job -> port that Prometheus scrapes.
        held: producers whose transactions stay open.
        faulty_at: when the fault occurred, monotonic; 0 if it occurred when its function returned.
    """

    broker: EmbeddedBroker
    prometheus: Prometheus
    env: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    ports: dict[str, int] = field(default_factory=dict)
    running: list[WorkerProcess] = field(default_factory=list)
    held: list[Producer] = field(default_factory=list)
    mounted: Path | None = None
    guests: threading.Thread | None = None
    stranger: Stranger | None = None
    closed: threading.Event = field(default_factory=threading.Event)
    faulty_at: float = 0.0

    def worker(self, command: tuple[str, ...] = COMMAND, **more: str) -> WorkerProcess:
        """Start a worker, and let Prometheus scrape it."""
        env = {**self.env, "STREAM_HTTP_PORT": str(self.port), "STREAM_PROCESSES": "1", **more}
        worker = WorkerProcess(env, self.folder / f"log-{len(self.running)}", command).start()
        self.running.append(worker)
        self._scrape(counts=self.port)
        return worker

    def running_worker(self, command: tuple[str, ...] = COMMAND, **more: str) -> WorkerProcess:
        worker = self.worker(command, **more)
        worker.wait_for("partition running", times=2)
        return worker

    def audit(self) -> WorkerProcess:
        port = free_port()
        env = {**self.env, "STREAM_HTTP_PORT": str(port)}
        command = ("-m", "stream", "verify", "--follow", "--interval", "1")
        audit = WorkerProcess(env, self.folder / f"log-{len(self.running)}", command).start()
        self.running.append(audit)
        self._scrape(audits=port)
        return audit

    def serve(self) -> ServeProcess:
        """Start a server, and let Prometheus scrape it."""
        serve = ServeProcess(self.env, self.folder / f"log-{len(self.running)}").start()
        self.running.append(serve)
        serve.wait_serving()
        self._scrape(answers=int(serve.url.rpartition(":")[2]))
        return serve

    def _scrape(self, **ports: int) -> None:
        """Scrape these jobs, too; their names are arbitrary, since no alert depends on them."""
        self.ports |= ports
        self.prometheus.scrape(**self.ports)

    def open_transaction(self, role: str) -> None:
        """Leave a transaction open in one of the topics."""
        options = {"transactional.id": f"hangs-{role}-{self.port}", "transaction.timeout.ms": 120_000}
        producer = Producer({"bootstrap.servers": self.env["STREAM_BOOTSTRAP_SERVERS"], **options})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(self.env[f"STREAM_{role}_TOPIC"], b"1", b"act", partition=0)
        producer.flush(30)
        self.held.append(producer)

    def close(self) -> None:
        self.prometheus.scrape()
        self.closed.set()
        if self.guests is not None:
            self.guests.join(60)
        if self.stranger is not None:
            self.stranger.close()
        for process in self.running:
            process.__exit__(None, None, None)
        if self.mounted is not None:
            subprocess.run(["umount", self.mounted], check=False)
