"""Commands that follow report an unavailable broker, wait and resume, but not on another cluster."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
from support.environment import SHORT_SESSIONS, own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.broker.tcp import free_port
from stream.tools.child_environment import environment_without_settings
from stream.tools.kafka.topic_creation import delete_topics

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
AWAY_S = 12.0  # longer than the request timeouts
LONG_AWAY_S, SILENCE_S_MAX = 30.0, 10.0
FOLLOWERS = {
    "results": ("results", "--follow"),
    "dead-letters": ("dead-letters", "list", "--follow"),
    "lag": ("lag", "--follow"),
    "verify": ("verify", "--follow", "--interval", "2"),
}


class Command:
    """A running command, and the lines that it has written, each with its time."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stream", *arguments],
            env={**environment_without_settings(), **env, "STREAM_HTTP_PORT": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append((time.monotonic(), line.decode()))

    def text(self) -> str:
        return "".join(line for _, line in list(self.lines))

    def wait(self, seconds: float) -> int:
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status

    def longest_silence_s(self, since: float) -> float:
        """Return the longest time without a line between `since` and now."""
        moments = [since, *(moment for moment, _ in list(self.lines) if moment > since), time.monotonic()]
        return max(after - before for before, after in pairwise(moments))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._reader.join(10)
        with self.process:  # closes its pipes
            pass


@contextmanager
def followed(folder: Path, port: int) -> Iterator[tuple[EmbeddedBroker, dict[str, str], dict[str, Command]]]:
    """Run a broker with a result and a dead letter; yield once all followers have written output."""
    with EmbeddedBroker(port=port, data_dir=folder / "broker", properties=SHORT_SESSIONS) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, folder), partitions=1)
        produce(env, [(None, "cat"), (None, b"\xff")])
        with WorkerProcess(env, folder / "log") as worker:
            wait_until(lambda: read(env, "result") and read(env, "dead-letter"), 60)
            worker.stop()
        with ExitStack() as running:
            commands = {
                name: running.enter_context(Command(env, *arguments)) for name, arguments in FOLLOWERS.items()
            }
            expected = {
                "results": "cat=1",
                "dead-letters": "undecodable",
                "lag": "lag 0",
                "verify": "audited",
            }
            for name, command in commands.items():
                wait_until(lambda c=command, n=name: expected[n] in c.text(), 60)  # type: ignore[misc]
            yield broker, env, commands


def test_followers_report_at_least_every_10_s_that_they_wait_and_resume(tmp_path: Path) -> None:
    with followed(tmp_path, free_port()) as (broker, env, commands):
        broker.kill()
        killed_at = time.monotonic()
        time.sleep(LONG_AWAY_S)
        for name, command in commands.items():
            assert command.process.poll() is None, (name, command.text())
            assert command.longest_silence_s(killed_at) < SILENCE_S_MAX, (name, command.text())
        broker.start()
        back_at = time.monotonic()
        produce(env, [(None, "tinsel"), (None, b"\xff")])
        with WorkerProcess(env, tmp_path / "log-2"):
            wait_until(lambda: "tinsel=1" in commands["results"].text(), 60)
            wait_until(lambda: commands["dead-letters"].text().count("undecodable") == 2, 60)
            wait_until(lambda: commands["lag"].lines[-1][0] > back_at + 5, 60)
            wait_until(
                lambda: any(
                    "audited" in text for moment, text in commands["verify"].lines if moment > back_at
                ),
                60,
            )
        for name, command in commands.items():
            assert "Kafka is available again" in command.text(), name
            assert command.text().count("cat=1") <= 1, "no record is shown twice"


@pytest.mark.parametrize("created", [True, False])
def test_followers_exit_with_a_clear_error_on_another_cluster_at_the_same_address(
    tmp_path: Path, *, created: bool
) -> None:
    port = free_port()
    with followed(tmp_path, port) as (broker, env, commands):
        broker.close()
        with EmbeddedBroker(port=port, data_dir=tmp_path / "other", properties=SHORT_SESSIONS):
            if created:
                make_topics(env, partitions=1)
            for name, command in commands.items():
                assert command.wait(60) == 1, name
                text = command.text().split("error: ")[1]
                assert text.startswith(
                    f"another Kafka cluster responds at {env['STREAM_BOOTSTRAP_SERVERS']}"
                ), name
                assert "Traceback" not in command.text()


def test_followers_exit_with_a_clear_error_if_their_topic_is_deleted_and_recreated(tmp_path: Path) -> None:
    with followed(tmp_path, free_port()) as (_, env, commands):
        delete_topics(admin_of(env), settings_of(env))
        time.sleep(1)
        wait_until(lambda: make_topics(env, partitions=1), 30)
        for name, command in commands.items():
            assert command.wait(60) == 1, name
            assert "was deleted and created again (id" in command.text().split("error: ")[1], name


def test_produce_reports_at_least_every_10_s_that_it_waits_and_delivers_all(tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=tmp_path / "broker", properties=SHORT_SESSIONS) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=1)
        with Command(env, "produce") as sending:
            assert sending.process.stdin is not None
            sending.process.stdin.write(b"cat\n" * 1000)
            sending.process.stdin.flush()
            wait_until(lambda: len(read(env, "input")) > 0, 60)
            broker.kill()
            killed_at = time.monotonic()
            sending.process.stdin.write(b"act\n" * 1000)
            sending.process.stdin.flush()
            time.sleep(LONG_AWAY_S)
            assert sending.longest_silence_s(killed_at) < SILENCE_S_MAX, sending.text()
            broker.start()
            sending.process.stdin.close()
            assert sending.wait(60) == 0, sending.text()
            assert "waiting for Kafka at" in sending.text()
            assert "2,000 blobs delivered" in sending.text()


@pytest.mark.parametrize(
    "arguments",
    [("doctor",), ("topics", "create"), ("totals",), ("verify",), ("offsets", "show")],
    ids=" ".join,
)
def test_command_reports_that_the_broker_is_unavailable_before_it_gives_up(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with Command(own_env(f"127.0.0.1:{free_port()}", tmp_path), *arguments) as command:
        assert command.wait(120) == 1
        lines = command.lines
        assert "waiting for Kafka at" in command.text()
        assert all(after - before < SILENCE_S_MAX for (before, _), (after, _) in pairwise(lines)), lines


def test_lag_survives_an_outage(tmp_path: Path) -> None:
    """librdkafka used to end the process when the coordinator returned after a failed group request."""
    log = tmp_path / "log"
    with EmbeddedBroker(data_dir=tmp_path / "broker", properties=SHORT_SESSIONS) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        produce(env, [(b"k", b"cat")], partition=0)

        def headlines() -> int:
            return log.read_text().count("lag 1")

        with (
            log.open("w") as output,
            subprocess.Popen(
                [sys.executable, "-m", "stream", "lag", "--follow", "--interval", "0.3"],
                env={**environment_without_settings(), **env},
                stdout=output,
                stderr=output,
            ) as lag,
        ):
            wait_until(lambda: headlines() > 1, 60)
            broker.kill()
            time.sleep(AWAY_S)
            broker.start()
            before = headlines()
            wait_until(lambda: lag.poll() is None and headlines() > before + 2, 60)
            lag.terminate()
    assert log.read_text().count("waiting for Kafka at") == 1
