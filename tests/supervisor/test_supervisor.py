"""The supervisor with real processes; they run stub workers, so no Kafka is needed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import psutil
import pytest
import support.topics
from support.topics import wait_until

from stream.telemetry.listening import listen

SCRIPT = str(Path(support.topics.__file__).with_name("supervised.py"))
PARTITIONS = 3  # as in supervised.py
Run = Callable[..., "Supervised"]


class Supervised:
    """A running `supervised.py`, its folder and its output."""

    def __init__(self, folder: Path, behavior: str, *, reader_exits: bool = False, **settings: str) -> None:
        folder.mkdir()
        self.folder = folder / "marks"
        self.folder.mkdir()
        self.log = folder / "log"
        self.temporary = folder
        base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        base["TMPDIR"] = str(folder)
        self.state = Path(settings.get("state_dir", folder / "state"))
        settings = {"state_dir": str(self.state), **settings}
        variables = {f"STREAM_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("wb") as log:
            reader, pipe = os.pipe()
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, behavior, str(self.folder)],
                env={**base, "STREAM_PROCESSES": "2", "STREAM_LOG_FORMAT": "json", **variables},
                stdout=pipe if reader_exits else log,
                stderr=pipe if reader_exits else log,
                cwd=folder,
                start_new_session=True,
            )
            os.close(pipe)
            os.close(reader)
        self.descendants: set[psutil.Process] = set()

    def marks(self, number: int | str) -> list[str]:
        return [path.name for path in self.folder.glob(f"{number}-*")]

    def pid(self, number: int) -> int:
        """Return the process id of the only process that was started with that number."""
        (mark,) = self.marks(number)
        return int(mark.split("-")[1])

    def wait_started(self, processes: int = 2) -> None:
        wait_until(lambda: all(map(self.marks, range(processes))), 30, every=0.02)
        self.descendants = set(psutil.Process(self.process.pid).children(recursive=True))

    def wait(self, seconds: float = 20) -> int:
        return self.process.wait(seconds)

    def is_gone(self) -> bool:
        """Whether all processes that `wait_started` saw have ended."""
        return not any(
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in self.descendants
        )

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

    def run(behavior: str, **settings: Any) -> Supervised:
        started.append(Supervised(tmp_path / str(len(started)), behavior, **settings))
        return started[-1]

    yield run
    for supervised in started:
        supervised.process.kill()
        supervised.process.wait()
        for process in supervised.descendants:
            if process.is_running():
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker(run: Run, number: signal.Signals) -> None:
    supervised = run("work")
    supervised.wait_started()
    supervised.process.send_signal(number)
    assert supervised.wait() == 0
    assert supervised.drained() == {"0", "1"}
    assert supervised.is_gone()
    assert "error" not in supervised.text()
    assert not list(supervised.temporary.glob("anagram-stream-*"))


def test_a_signal_from_the_terminal_to_all_processes_drains_every_worker(run: Run) -> None:
    supervised = run("work")
    supervised.wait_started()
    os.killpg(supervised.process.pid, signal.SIGINT)
    assert supervised.wait() == 0
    assert supervised.drained() == {"0", "1"}


def test_a_second_signal_stops_at_once(run: Run) -> None:
    supervised = run("stubborn")
    supervised.wait_started()
    supervised.process.terminate()
    supervised.process.terminate()  # the system may merge it with the first
    supervised.process.send_signal(signal.SIGINT)
    assert supervised.wait(5) > 128
    assert supervised.drained() == set()
    assert supervised.is_gone()


def test_a_worker_that_does_not_drain_is_killed(run: Run) -> None:
    supervised = run("stubborn")
    supervised.wait_started()
    supervised.process.terminate()
    assert supervised.wait() == 1
    assert "process 0, process 1 did not drain within" in supervised.text()
    assert supervised.is_gone()


def test_a_worker_that_dies_is_restarted_and_the_others_continue(run: Run) -> None:
    supervised = run("work")
    supervised.wait_started()
    os.kill(supervised.pid(1), signal.SIGKILL)
    wait_until(lambda: len(supervised.marks(1)) == 2, 10, every=0.02)
    assert len(supervised.marks(0)) == 1
    assert "killed by SIGKILL" in supervised.text()
    with urlopen(f"{supervised.address()}/metrics") as answer:
        assert 'stream_process_restarts_total{process="1"} 1.0' in answer.read().decode()
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert supervised.drained() == {"0", "1"}


def test_the_metrics_aggregator_is_restarted_on_its_port(run: Run) -> None:
    supervised = run("work")
    supervised.wait_started()
    workers = {supervised.pid(0), supervised.pid(1)}
    (aggregator,) = [process for process in supervised.descendants if process.pid not in workers]
    aggregator.kill()

    def answers() -> bool:
        try:
            with urlopen(f"{supervised.address()}/metrics", timeout=1) as answer:
                return b"stream_process_up" in answer.read()
        except OSError:
            return False

    wait_until(answers, 10)


@pytest.mark.parametrize(
    ("behavior", "how"), [("crash", "killed by SIGSEGV"), ("traceback", "exit status 1")]
)
def test_a_worker_that_dies_too_often_is_given_up_and_the_others_continue(
    run: Run, behavior: str, how: str
) -> None:
    supervised = run(behavior)
    supervised.wait_started()
    wait_until(lambda: "process ended" in supervised.text(), 40)
    time.sleep(0.5)
    assert supervised.process.poll() is None
    assert (len(supervised.marks(0)), len(supervised.marks(1))) == (1, 10)
    supervised.process.terminate()
    assert supervised.wait() == 1
    assert supervised.text().count(f"error: process 1 died 10 times in a row, most recently: {how}") == 1
    assert supervised.drained() == {"0"}
    assert supervised.is_gone()


def test_a_worker_that_stops_for_its_own_reason_does_not_stop_the_others(run: Run) -> None:
    error = "another has its id"
    supervised = run("fenced")
    supervised.wait_started()
    wait_until(lambda: "process ended" in supervised.text(), 10)
    time.sleep(1)
    assert supervised.process.poll() is None
    assert (len(supervised.marks(0)), len(supervised.marks(1))) == (1, 1), "neither is restarted"
    (line,) = [line for line in supervised.text().splitlines() if "process ended" in line]
    assert orjson.loads(line)["error"] == f"process 1: {error}"
    assert orjson.loads(line)["continuing"] == "process 0"
    with urlopen(f"{supervised.address()}/metrics") as answer:
        assert 'stream_process_up{process="1"} 0.0' in answer.read().decode()
    supervised.process.terminate()
    assert supervised.wait() == 1, "the exit status still reports the failure"
    assert f"error: process 1: {error}\n" in supervised.text()
    assert supervised.drained() == {"0"}


def test_a_worker_whose_error_has_no_fix_is_restarted_because_it_may_pass(run: Run) -> None:
    supervised = run("fatal")
    supervised.wait_started()
    wait_until(lambda: len(supervised.marks(1)) == 3, 20)
    line = next(line for line in supervised.text().splitlines() if "process died" in line)
    assert orjson.loads(line)["how"] == "it cannot continue"
    assert len(supervised.marks(0)) == 1
    supervised.process.terminate()
    supervised.wait()
    assert supervised.drained() == {"0"}


def test_the_end_of_the_last_worker_ends_the_supervisor_with_the_first_error(run: Run) -> None:
    supervised = run("fenced-both")
    supervised.wait_started()
    assert supervised.wait() == 1
    assert "error: process 1: another has its id\n" in supervised.text()
    assert "process 0: another has this id, too" in supervised.text()
    assert supervised.is_gone()


def test_the_error_that_stops_all_workers_is_the_one_that_is_printed(run: Run) -> None:
    supervised = run("fenced-refused")
    supervised.wait_started()
    assert supervised.wait() == 1
    assert "error: process 0: it would break a promise\n  fix: hint it\n" in supervised.text()
    assert "error: process 1" not in supervised.text()


@pytest.mark.parametrize(
    ("behavior", "status", "message"),
    [
        ("refused", 1, "error: process 1: it would break a promise\n  fix: hint it\n"),
        ("misconfigured", 2, "error: process 1: that is wrong\n  fix: set it right\n"),
    ],
)
def test_a_worker_that_raises_a_stream_error_is_not_restarted_and_its_error_is_printed_once(
    run: Run, behavior: str, status: int, message: str
) -> None:
    supervised = run(behavior)
    supervised.wait_started()
    assert supervised.wait() == status
    assert supervised.text().count(message) == 1
    assert "Traceback" not in supervised.text()
    assert len(supervised.marks(1)) == 1
    assert supervised.drained() == {"0"}


def test_a_topic_error_is_reported_once_before_any_worker_starts(run: Run) -> None:
    supervised = run("no-topics")
    assert supervised.wait() == 1
    assert supervised.text().count("topic x does not exist") == 2, "a log line and the error message"
    assert supervised.marks("*") == []


def test_while_the_broker_is_unavailable_probes_answer_and_a_signal_ends_the_wait(run: Run) -> None:
    supervised = run("no-broker")
    wait_until(lambda: "dictionary" in supervised.text() or "listens" in supervised.text(), 20)
    with pytest.raises(HTTPError, match="503") as answer:
        urlopen(f"{supervised.address()}/healthz/started", timeout=10)
    answer.value.close()
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert supervised.marks("*") == []


@pytest.mark.parametrize("behavior", ["work", "portable", "stubborn"])
def test_all_processes_end_when_the_supervisor_is_killed(run: Run, behavior: str) -> None:
    """`portable`: without the parent death signal of Linux; `stubborn`: workers that do not drain."""
    supervised = run(behavior)
    supervised.wait_started()
    assert len(supervised.descendants) == 3
    supervised.process.kill()
    wait_until(supervised.is_gone, 5, every=0.05)
    assert supervised.drained() == (set() if behavior == "stubborn" else {"0", "1"})
    assert not list(supervised.temporary.glob("anagram-stream-*"))
    assert not list((supervised.state / "@sockets").iterdir()), "the folder with its sockets is deleted too"


def test_processes_run_with_a_long_state_folder_and_without_a_temporary_folder(
    run: Run, tmp_path: Path
) -> None:
    supervised = run("no-temporary-folder", state_dir=str(tmp_path / ("s" * 150)))
    supervised.wait_started()
    wait_until(lambda: len(list((supervised.state / "@sockets").iterdir())) == 1, 10)
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert supervised.drained() == {"0", "1"}
    assert not list((supervised.state / "@sockets").iterdir())


def test_worker_continues_and_stops_cleanly_if_its_log_reader_exits(run: Run) -> None:
    supervised = run("work", reader_exits=True)
    supervised.wait_started()
    os.kill(supervised.pid(1), signal.SIGKILL)  # so the supervisor and the new process write log lines
    wait_until(lambda: len(supervised.marks(1)) == 2, 10)
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert len(supervised.drained()) == 2


def test_failure_keeps_its_exit_status_if_the_log_reader_exits(run: Run) -> None:
    assert run("misconfigured", reader_exits=True).wait() == 2


def test_orphaned_workers_that_drain_do_not_hold_the_port(run: Run) -> None:
    supervised = run("stubborn")
    supervised.wait_started()
    host, _, port = supervised.address().removeprefix("http://").rpartition(":")

    def is_free() -> bool:
        try:
            with listen(host, int(port)):
                return True
        except OSError:
            return False

    assert not is_free()
    supervised.process.kill()
    wait_until(is_free, 5, every=0.05)
    assert not supervised.is_gone(), "the workers ended too early for this test"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_supervisor_has_one_thread(run: Run) -> None:
    """A fork copies the locks that other threads hold, but not the threads."""
    supervised = run("work")
    supervised.wait_started()
    os.kill(supervised.pid(1), signal.SIGKILL)
    wait_until(lambda: len(supervised.marks(1)) == 2, 10)
    assert len(list(Path(f"/proc/{supervised.process.pid}/task").iterdir())) == 1


def test_each_process_keeps_its_own_instance_id(run: Run) -> None:
    supervised = run("work", instance_id="mine")
    supervised.wait_started()
    os.kill(supervised.pid(1), signal.SIGKILL)
    wait_until(lambda: len(supervised.marks(1)) == 2, 10)
    names = {(path.name[0], path.read_text()) for path in supervised.folder.glob("[01]-*")}
    assert names == {("0", "mine-0"), ("1", "mine-1")}


def test_every_log_line_of_a_process_has_its_number_in_any_thread(run: Run) -> None:
    supervised = run("work")
    supervised.wait_started()
    wait_until(lambda: supervised.text().count("from a thread") == 2, 10)
    lines = [orjson.loads(line) for line in supervised.text().splitlines()]
    from_threads = [line for line in lines if line["event"] == "from a thread"]
    assert {(line["number"], line["process"]) for line in from_threads} == {("0", 0), ("1", 1)}
    assert all("process" not in line for line in lines if line["event"] == "telemetry listens")


def test_auto_starts_at_most_one_process_per_partition(run: Run) -> None:
    """The script pretends to have eight cores."""
    supervised = run("work", processes="auto")
    supervised.wait_started(PARTITIONS)
    supervised.process.terminate()
    assert supervised.wait() == 0
    assert supervised.drained() == {str(number) for number in range(PARTITIONS)}


def test_more_processes_than_partitions_are_started_on_request_with_a_warning(run: Run) -> None:
    supervised = run("work", processes="4")
    supervised.wait_started(4)
    assert "more processes than partitions" in supervised.text()


def test_a_port_in_use_is_a_clear_error(run: Run) -> None:
    first = run("work")
    first.wait_started()
    port = first.address().rpartition(":")[2]
    second = run("work", http_port=port)
    assert second.wait() == 2
    assert "cannot listen on 127.0.0.1" in second.text()
