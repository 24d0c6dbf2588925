"""A call that never returns (librdkafka#5456, #5511) restarts the process, and the work continues."""

import json
import signal
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.process import WorkerProcess
from support.topics import produce, read, wait_until

pytestmark = pytest.mark.broker
HANGING = """
import ctypes, os, sys
from stream.cli.main import main
from stream.kafka.sink import KafkaSink
from stream.supervisor import supervisor
from stream.worker import wiring
wiring.call_s_max = lambda *_: 3.0
once, send_offsets = os.environ["HUNG_ONCE"], KafkaSink.send_offsets

def hang(self, offsets, group_metadata):
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return send_offsets(self, offsets, group_metadata)
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):  # the second call deadlocks in C, and no signal interrupts it
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

KafkaSink.send_offsets = hang
sys.argv = ["anagram-stream", "worker", *os.environ["WORKER_OPTIONS"].split()]
main()
"""
TEXTS = [(b"%d" % number, b"listen to the silent tinsel") for number in range(50)]


def started_times(worker: WorkerProcess) -> list[str]:
    address = worker.events("telemetry listens")[-1]["address"]
    with urlopen(f"{address}/metrics") as response:
        lines = response.read().decode().splitlines()
    return [line.split()[-1] for line in lines if line.startswith("stream_started_timestamp_seconds")]


@pytest.fixture
def hanging_env(stream_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {**stream_env, "HUNG_ONCE": str(tmp_path / "hung"), "WORKER_OPTIONS": "--processes 1"}


@pytest.mark.parametrize("processes", [1, 2])
def test_results_flow_again_after_a_call_that_does_not_return(
    hanging_env: dict[str, str], tmp_path: Path, processes: int
) -> None:
    env = {**hanging_env, "WORKER_OPTIONS": f"--processes {processes}"}
    with WorkerProcess(env, tmp_path / "log", ("-c", HANGING)) as worker:
        worker.wait_for("partition running", times=2)
        pid, started_at = worker.process.pid, started_times(worker)
        produce(env, TEXTS)
        worker.wait_for("loop hangs", 20)
        began_at = time.monotonic()
        wait_until(lambda: len(read(env, "result")) == len(TEXTS), 60)
        print(f"results flow again after {time.monotonic() - began_at:.1f} s")  # noqa: T201 - for the record
        assert worker.process.pid == pid
        changed = {time for time in started_times(worker) if time not in started_at}
        assert len(changed) == 1, "the alert StreamWorkerRestarts must see the restart in place"
        assert worker.stop() == 0
        (event,) = worker.events("loop hangs")
    assert "a call to the client library" in event["what"]
    assert any("transaction.py" in frame for stack in event["stacks"].values() for frame in stack)
    assert "silent" not in json.dumps(event), "the text of a blob is never logged"


@pytest.mark.parametrize("signals", [1, 2])
def test_worker_that_hangs_exits_on_sigterm(
    hanging_env: dict[str, str], tmp_path: Path, signals: int
) -> None:
    with WorkerProcess(hanging_env, tmp_path / "log", ("-c", HANGING)) as worker:
        worker.wait_for("partition running", times=2)
        produce(hanging_env, TEXTS)
        wait_until(Path(hanging_env["HUNG_ONCE"]).exists, 20, every=0.01)
        for _ in range(signals):
            worker.signal(signal.SIGTERM)
            time.sleep(0.3)
        assert worker.wait(10) == (1 if signals == 1 else 128 + signal.SIGTERM)
