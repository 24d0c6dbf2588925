"""Real processes, whose workers only behave: what the supervisor does needs no Kafka."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import psutil
import pytest
import support.topics
from support.topics import wait_until

from stream.telemetry.listening import listen

SCRIPT = str(Path(support.topics.__file__).with_name("supervised.py"))
PARTITIONS = 3  # that the script's survey finds
Run = Callable[..., "Supervised"]


class Supervised:
    """`supervised.py`, its folder and what it printed."""

    def __init__(self, folder: Path, behaviour: str, **settings: str) -> None:
        folder.mkdir()
        self.folder = folder / "marks"
        self.folder.mkdir()
        self.log = folder / "log"
        self.temporary = folder
        base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        base["TMPDIR"] = str(folder)
        given = {f"STREAM_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, behaviour, str(self.folder)],
                env={**base, "STREAM_PROCESSES": "2", "STREAM_LOG_FORMAT": "json", **given},
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        self.below: set[psutil.Process] = set()

    def marks(self, number: int | str) -> list[str]:
        return [path.name for path in self.folder.glob(f"{number}-*")]

    def pid(self, number: int) -> int:
        """Of the one process that was started under that number."""
        (mark,) = self.marks(number)
        return int(mark.split("-")[1])

    def wait_started(self, processes: int = 2) -> None:
        wait_until(lambda: all(map(self.marks, range(processes))), 30, every=0.02)
        self.below = set(psutil.Process(self.process.pid).children(recursive=True))

    def wait(self, seconds: float = 20) -> int:
        return self.process.wait(seconds)

    def is_gone(self) -> bool:
        """Whether no process that was there is there."""
        return not any(below.is_running() and below.status() != psutil.STATUS_ZOMBIE for below in self.below)

    def text(self) -> str:
        return self.log.read_text()

    def drained(self) -> set[str]:
        return {path.name.split("-")[1] for path in self.folder.glob("drained-*")}

    def address(self) -> str:
        line = next(line for line in self.text().splitlines() if "telemetry listens" in line)
        return str(orjson.loads(line)["address"])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started: list[Supervised] = []

    def run(behaviour: str, **settings: str) -> Supervised:
        started.append(Supervised(tmp_path / str(len(started)), behaviour, **settings))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.wait()
        for below in one.below:
            if below.is_running():
                below.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all(run: Run, number: signal.Signals) -> None:
    one = run("work")
    one.wait_started()
    one.process.send_signal(number)
    assert one.wait() == 0
    assert one.drained() == {"0", "1"}
    assert one.is_gone()
    assert "error" not in one.text()
    assert not list(one.temporary.glob("anagram-stream-*"))


def test_a_signal_that_the_terminal_sends_to_all_drains_all_the_same(run: Run) -> None:
    one = run("work")
    one.wait_started()
    os.killpg(one.process.pid, signal.SIGINT)
    assert one.wait() == 0
    assert one.drained() == {"0", "1"}


def test_a_second_signal_stops_at_once(run: Run) -> None:
    one = run("stubborn")
    one.wait_started()
    one.process.terminate()
    one.process.terminate()  # may become one with the first
    one.process.send_signal(signal.SIGINT)
    assert one.wait(5) > 128
    assert one.drained() == set()
    assert one.is_gone()


def test_who_does_not_drain_is_killed_in_the_end(run: Run) -> None:
    one = run("stubborn")
    one.wait_started()
    one.process.terminate()
    assert one.wait() == 1
    assert "process 0, process 1 did not drain within" in one.text()
    assert one.is_gone()


def test_who_dies_is_started_again_and_the_others_do_not_notice(run: Run) -> None:
    one = run("work")
    one.wait_started()
    os.kill(one.pid(1), signal.SIGKILL)
    wait_until(lambda: len(one.marks(1)) == 2, 10, every=0.02)
    assert len(one.marks(0)) == 1
    assert "killed by SIGKILL" in one.text()
    with urlopen(f"{one.address()}/metrics") as answer:
        assert 'stream_process_restarts_total{process="1"} 1.0' in answer.read().decode()
    one.process.terminate()
    assert one.wait() == 0
    assert one.drained() == {"0", "1"}


def test_the_front_is_started_again_on_its_port(run: Run) -> None:
    one = run("work")
    one.wait_started()
    (front,) = [below for below in one.below if below.pid not in {one.pid(0), one.pid(1)}]
    front.kill()

    def answers() -> bool:
        try:
            with urlopen(f"{one.address()}/metrics", timeout=1) as answer:
                return b"stream_process_up" in answer.read()
        except OSError:
            return False

    wait_until(answers, 10)


@pytest.mark.parametrize(
    ("behaviour", "how"), [("crash", "killed by SIGSEGV"), ("traceback", "exit status 1")]
)
def test_who_dies_again_and_again_stops_all_with_one_error(run: Run, behaviour: str, how: str) -> None:
    one = run(behaviour)
    one.wait_started()
    assert one.wait(40) == 1
    assert one.text().count(f"error: process 1 died 10 times in a row, the last time {how}") == 1
    assert len(one.marks(1)) == 10
    assert one.drained() == {"0"}
    assert one.is_gone()


@pytest.mark.parametrize(
    ("behaviour", "status", "says"),
    [
        ("refused", 1, "error: process 1: it would break a promise\n fix: hint it\n"),
        ("misconfigured", 2, "error: process 1: that is wrong\n fix: set it right\n"),
    ],
)
def test_who_must_not_go_on_is_not_started_again_and_says_why_once(
    run: Run, behaviour: str, status: int, says: str
) -> None:
    one = run(behaviour)
    one.wait_started()
    assert one.wait() == status
    assert one.text().count(says) == 1
    assert "Traceback" not in one.text()
    assert len(one.marks(1)) == 1
    assert one.drained() == {"0"}


def test_what_is_wrong_with_the_topics_is_said_once_before_any_worker(run: Run) -> None:
    one = run("no-topics")
    assert one.wait() == 1
    assert one.text().count("there is no topic x") == 2, "a log line, and the message"
    assert one.marks("*") == []


def test_while_the_broker_is_away_probes_answer_and_a_signal_ends_it(run: Run) -> None:
    one = run("no-broker")
    wait_until(lambda: "dictionary" in one.text() or "listens" in one.text(), 20)
    with pytest.raises(HTTPError, match="503") as answer:
        urlopen(f"{one.address()}/healthz/started", timeout=10)
    answer.value.close()
    one.process.terminate()
    assert one.wait() == 0
    assert one.marks("*") == []


@pytest.mark.parametrize("behaviour", ["work", "portable", "stubborn"])
def test_who_kills_the_supervisor_takes_all_along(run: Run, behaviour: str) -> None:
    """`portable`: without the help of Linux; `stubborn`: workers that do not drain."""
    one = run(behaviour)
    one.wait_started()
    assert len(one.below) == 3
    one.process.kill()
    wait_until(one.is_gone, 5, every=0.05)
    assert one.drained() == (set() if behaviour == "stubborn" else {"0", "1"})
    assert not list(one.temporary.glob("anagram-stream-*")), "its sockets are gone with it"


def test_workers_that_still_drain_do_not_hold_the_port(run: Run) -> None:
    one = run("stubborn")
    one.wait_started()
    host, _, port = one.address().removeprefix("http://").rpartition(":")

    def is_free() -> bool:
        try:
            with listen(host, int(port)):
                return True
        except OSError:
            return False

    assert not is_free()
    one.process.kill()
    wait_until(is_free, 5, every=0.05)
    assert not one.is_gone(), "they drained before anything could be seen"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_supervisor_has_one_thread(run: Run) -> None:
    """Others would not come along in a fork, but the locks they hold would."""
    one = run("work")
    one.wait_started()
    os.kill(one.pid(1), signal.SIGKILL)
    wait_until(lambda: len(one.marks(1)) == 2, 10)
    assert len(list(Path(f"/proc/{one.process.pid}/task").iterdir())) == 1


def test_each_process_has_a_stable_name_of_its_own(run: Run) -> None:
    one = run("work", instance_id="mine")
    one.wait_started()
    os.kill(one.pid(1), signal.SIGKILL)
    wait_until(lambda: len(one.marks(1)) == 2, 10)
    names = {(path.name[0], path.read_text()) for path in one.folder.glob("[01]-*")}
    assert names == {("0", "mine-0"), ("1", "mine-1")}


def test_every_line_of_a_process_names_it_whichever_thread_writes_it(run: Run) -> None:
    one = run("work")
    one.wait_started()
    wait_until(lambda: one.text().count("from a thread") == 2, 10)
    lines = [orjson.loads(line) for line in one.text().splitlines()]
    said = [line for line in lines if line["event"] == "from a thread"]
    assert {(line["number"], line["process"]) for line in said} == {("0", 0), ("1", 1)}
    assert all("process" not in line for line in lines if line["event"] == "telemetry listens")


def test_auto_takes_no_more_processes_than_the_input_has_partitions(run: Run) -> None:
    """The script has eight cores."""
    one = run("work", processes="auto")
    one.wait_started(PARTITIONS)
    one.process.terminate()
    assert one.wait() == 0
    assert one.drained() == {str(number) for number in range(PARTITIONS)}


def test_more_processes_than_partitions_are_started_if_asked_for_and_told(run: Run) -> None:
    one = run("work", processes="4")
    one.wait_started(4)
    assert "more processes than partitions" in one.text()


def test_a_port_that_is_taken_is_said_once(run: Run) -> None:
    first = run("work")
    first.wait_started()
    port = first.address().rpartition(":")[2]
    second = run("work", http_port=port)
    assert second.wait() == 2
    assert "cannot listen on 127.0.0.1" in second.text()
