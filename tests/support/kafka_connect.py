"""Kafka Connect in standalone mode with Debezium's JDBC sink, as a child process; downloaded once."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson
import pytest
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from support.ops import OPS
from support.postgres import USER, Postgres

from stream.broker import runtime, tcp
from stream.broker.fetch import cache_dir
from stream.broker.jars import KAFKA_VERSION
from stream.broker.locks import locked
from stream.broker.process import GuardedProcess
from stream.tools.child_environment import environment_without_settings

CONFIGURATION = OPS / "connect"
CONNECTORS = ("signature-counts", "anagram-results", "dead-letters")
FLUSH_INTERVAL_S = 5
SINK_VERSION = "3.6.0.Final"
_SINK = "io.debezium", "debezium-connector-jdbc"
_FLAGS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
_LOG4J2 = Path(runtime.__file__).with_name("log4j2.properties")
_MAIN = "org.apache.kafka.connect.cli.ConnectStandalone"
_TIMEOUT_S = 60


class Connect:
    """A worker of Kafka Connect with the connectors of `ops/connect`; its log continues across all starts."""

    def __init__(self, folder: Path, bootstrap_servers: str, database: Postgres) -> None:
        self.log = folder / "connect.log"
        self._folder = folder
        self._port = tcp.free_port()
        self._process: GuardedProcess | None = None
        self._installed = installed()
        changed = {
            "bootstrap.servers": bootstrap_servers,
            "plugin.path": self._installed / "plugins",
            "offset.storage.file.filename": folder / "connect.offsets",
            "listeners": f"http://127.0.0.1:{self._port}",
            "offset.flush.interval.ms": FLUSH_INTERVAL_S * 1_000,
            "plugin.discovery": "service_load",  # the default also scans all classes, which takes 10 s
            "consumer.session.timeout.ms": 6_000,  # the successor of a killed task waits for it
        }
        lines = [f"{name}={value}\n" for name, value in changed.items()]  # the last value of a name wins
        worker = (CONFIGURATION / "worker.properties").read_text(encoding="utf-8")
        (folder / "worker.properties").write_text("".join([worker, "\n", *lines]), encoding="utf-8")
        self._env = environment_without_settings() | {
            "JDBC_URL": database.url,
            "JDBC_USER": USER,
            "JDBC_PASSWORD": "of-no-use",
        }

    def start(self) -> None:
        kafka = runtime.prepare()
        logging = [jar for jar in kafka.jars if jar.name.startswith("log4j-")]
        class_path = os.pathsep.join(map(str, [*sorted((self._installed / "jars").glob("*.jar")), *logging]))
        log = f"-Dlog4j2.configurationFile={_LOG4J2.as_uri()}", f"-Dstream.broker.log={self.log}"
        connectors = [str(CONFIGURATION / f"{name}.properties") for name in CONNECTORS]
        self._process = GuardedProcess(
            [str(kafka.java), *_FLAGS, *log, "-cp", class_path, _MAIN, "worker.properties", *connectors],
            folder=self._folder, console=self._folder / "connect.console", env=self._env,
        )  # fmt: skip

    def kill(self) -> None:
        """Kill the worker with SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def check(self) -> None:
        """Check that the worker runs and that no task has failed."""
        assert self._process is not None
        assert self._process.poll() is None, self.tail()
        for name in CONNECTORS:
            for task in self._status(name)["tasks"]:
                assert task["state"] != "FAILED", task["trace"]

    def tail(self) -> str:
        files = self._folder / "connect.console", self.log
        return "\n".join(path.read_text(errors="replace")[-5_000:] for path in files if path.exists())

    def _status(self, connector: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._port}/connectors/{connector}/status"
        try:
            with urlopen(url, timeout=_TIMEOUT_S) as response:
                status: dict[str, Any] = orjson.loads(response.read())
        except OSError:  # it is still starting
            return {"tasks": []}
        return status


@contextmanager
def connect(folder: Path, bootstrap_servers: str, database: Postgres) -> Iterator[Connect]:
    """Start a worker, and kill it on exit."""
    worker = Connect(folder, bootstrap_servers, database)
    worker.start()
    try:
        yield worker
    except BaseException:
        print(worker.tail())  # noqa: T201 - shown with the failure
        raise
    finally:
        worker.kill()


def installed() -> Path:
    """Return the folder with `jars` of Connect and `plugins`; skip the test if it cannot be downloaded."""
    cache = cache_dir()
    target = cache / f"connect-{KAFKA_VERSION}-{SINK_VERSION}"
    with locked(cache / "connect.lock", lambda: None):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="connect-") as scratch:
                try:
                    _download(Path(scratch, "repository"), Path(scratch, "installed"))
                except (OSError, RuntimeError) as error:  # requests raises OSErrors, jgo RuntimeErrors
                    pytest.skip(f"Kafka Connect or its plug-in could not be downloaded: {error}")
                Path(scratch, "installed").replace(target)
    return target


def _download(repository: Path, target: Path) -> None:
    context = MavenContext(
        resolver=PythonResolver(),
        repo_cache=repository,
        local_repos=[],
        remote_repos={"central": MAVEN_CENTRAL_URL},
        timeout=_TIMEOUT_S,
    )
    runtime_of_connect = context.create_dependency(f"org.apache.kafka:connect-runtime:{KAFKA_VERSION}")
    itself, others = context.resolver.resolve([runtime_of_connect])
    (target / "jars").mkdir(parents=True)
    for dependency in (*itself, *others):
        shutil.copy(dependency.artifact.resolve(), target / "jars")
    sink = context.project(*_SINK).at_version(SINK_VERSION).artifact("plugin", "tar.gz")
    with tarfile.open(sink.resolve()) as archive:
        archive.extractall(target / "plugins", filter="data")
