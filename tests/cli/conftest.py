"""Runs commands as users do, in this process or in a separate one."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import structlog
from cli.running import Cli, Outcome, Put, Spawn, Stored
from confluent_kafka import Producer

from stream.cli import app as shared
from stream.cli import main as command_line
from stream.config import Settings
from stream.tools.kafka.cluster_watch import ClusterWatch


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> Iterator[Cli]:
    for name in [name for name in os.environ if name.startswith("STREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # a folder without `.env`
    (tmp_path / "words").mkdir()
    (tmp_path / "words/few.txt").write_text("listen\nsilent\ncat\nact\nmoor\n")
    monkeypatch.setenv("STREAM_DICTIONARY", "words/few.txt")

    watches: list[ClusterWatch] = []  # a command leaves its watch open until the process exits

    def watch(settings: Settings, topics: Sequence[str], say: Callable[[str], None]) -> ClusterWatch:
        watches.append(ClusterWatch(settings, topics, say))
        return watches[-1]

    def run(*args: str, env: Mapping[str, str] | None = None, typed: bytes = b"") -> Outcome:
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["anagram-stream", *args])
            patch.setattr(shared, "ClusterWatch", watch)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
            try:
                command_line.main()
                status: object = 0
            except SystemExit as end:
                status = end.code
        while watches:
            watches.pop().close()
        out, err = capsysbinary.readouterr()
        assert isinstance(status, int)
        assert b"Traceback" not in err
        return Outcome(status, out.decode(errors="replace"), err.decode(), out)

    yield run
    structlog.reset_defaults()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start a command as a separate process with pipes; kill running processes after the test."""
    started: list[subprocess.Popen[bytes]] = []
    pipe = subprocess.PIPE

    def start(*args: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", *args],
            env={**base, **env}, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        for end in (process.stdin, process.stdout, process.stderr):
            if end is not None:
                end.close()


@pytest.fixture
def put(kafka: str) -> Put:
    """Put (partition, key, value, headers) into a topic in one transaction, committed or not."""

    def all_of(topic: str, records: Iterable[Stored], *, abort: bool = False) -> None:
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"put-{topic}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for partition, key, value, headers in records:
            producer.produce(topic, value, key, partition=partition, headers=list(headers))
        if abort:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)

    return all_of
