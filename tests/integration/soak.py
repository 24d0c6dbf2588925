"""A worker under load while another one joins and leaves: `hatch run soak --cycles 200 --minutes 30`.

Prints memory, file descriptors and threads of the worker every minute and at the end. Fails if `verify`
reports a difference, or if the memory grows by more than the memtables of the stores.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka import Producer
from support.environment import SHORT_SESSIONS, own_env
from support.process import WorkerProcess
from support.topics import make_topics, settings_of
from support.usage import handles, resident_mib, threads

from stream.broker.embedded import EmbeddedBroker
from stream.dictionary import load_index
from stream.tools.audit.verify import verify

BLOBS_PER_S = 400
GROWTH_MIB_MAX = 128  # four partitions, 16 MiB of memtables in total, and what malloc keeps
HANDLES_MORE_MAX, THREADS_MORE_MAX = 40, 4
SETTLE_S = 20.0
TEXTS = [f"listen silent cat {n} tea-eat stop pots dog {chr(97 + n % 26)}" for n in range(500)]


def load(env: dict[str, str], stopping: threading.Event, blobs_per_s: int) -> None:
    producer = Producer(
        {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "enable.idempotence": True, "log_level": 0}
    )
    n = 0
    while not stopping.wait(0.05):
        for _ in range(blobs_per_s // 20):
            producer.produce(env["STREAM_INPUT_TOPIC"], TEXTS[n % len(TEXTS)])
            n += 1
        producer.poll(0)
    producer.flush(60)


def state(worker: WorkerProcess, began: float, cycles: int) -> str:
    pid = worker.process.pid
    runs = len(worker.events("partition running"))
    return (
        f"{(time.monotonic() - began) / 60:5.1f} min, {cycles:3} cycles: {resident_mib(pid):6.1f} MiB, "
        f"{handles(pid):3} handles, {threads(pid):3} threads, partitions started {runs} times"
    )


def cycle(guest: WorkerProcess) -> None:
    """Let the guest join, run partitions and leave."""
    before = len(guest.events("partition running"))
    guest.start()
    guest.wait_for("partition running", times=before + 1)
    assert guest.stop() == 0, guest.log.read_text()[-2000:]


def resources(worker: WorkerProcess) -> tuple[float, int, int]:
    pid = worker.process.pid
    return resident_mib(pid), handles(pid), threads(pid)


def soak(env: dict[str, str], folder: Path, cycles: int, minutes: float, blobs_per_s: int) -> None:
    stopping = threading.Event()
    loading = threading.Thread(target=load, args=(env, stopping, blobs_per_s), daemon=True)
    loading.start()
    guest_env = {**env, "STREAM_STATE_DIR": str(folder / "guest")}
    guest = WorkerProcess(guest_env, folder / "guest-log")
    with WorkerProcess(env, folder / "log") as worker:
        worker.wait_for("partition running", times=4)
        time.sleep(SETTLE_S)
        first = resources(worker)
        began = printed_at = time.monotonic()
        done = 0
        while done < cycles or time.monotonic() - began < minutes * 60:
            if done < cycles:
                cycle(guest)
                done += 1
            else:
                time.sleep(1)
            assert worker.process.poll() is None, worker.log.read_text()[-2000:]
            if time.monotonic() - printed_at >= 60:
                printed_at = time.monotonic()
                print(state(worker, began, done), flush=True)  # noqa: T201
        print(state(worker, began, done), flush=True)  # noqa: T201
        grown = [now - then for now, then in zip(resources(worker), first, strict=True)]
        stopping.set()
        loading.join()
        time.sleep(5)
        assert worker.stop() == 0
    folders = [each for each in (folder / "state", folder / "guest") if each.exists()]
    verdict = verify(settings_of(env), load_index(None), state_dirs=folders)
    print(f"verify: {verdict.records} records, {verdict.differences or 'no difference'}")  # noqa: T201
    assert verdict.holds
    allowed = (GROWTH_MIB_MAX, HANDLES_MORE_MAX, THREADS_MORE_MAX)
    assert all(more <= most for more, most in zip(grown, allowed, strict=True)), grown


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=BLOBS_PER_S, help="blobs a second")
    chosen = parser.parse_args()
    with EmbeddedBroker(properties=SHORT_SESSIONS) as broker, tempfile.TemporaryDirectory() as folder:
        env = make_topics(own_env(broker.bootstrap_servers, Path(folder)), partitions=4)
        soak(env, Path(folder), chosen.cycles, chosen.minutes, chosen.rate)


if __name__ == "__main__":
    main()
