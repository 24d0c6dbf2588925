"""A worker under load while others come and go: `hatch run soak --cycles 200 --minutes 30`.

Prints every minute, and at the end, what the lasting worker holds: it must not grow.
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

from stream.audit.verify import verify
from stream.broker.embedded import EmbeddedBroker
from stream.run.dictionary import load_index

BLOBS_PER_S = 400
TEXTS = [f"listen silent cat {n} tea-eat stop pots dog {chr(97 + n % 26)}" for n in range(500)]


def load(env: dict[str, str], stopping: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "enable.idempotence": True})
    n = 0
    while not stopping.wait(0.05):
        for _ in range(BLOBS_PER_S // 20):
            producer.produce(env["STREAM_INPUT_TOPIC"], TEXTS[n % len(TEXTS)])
            n += 1
        producer.poll(0)
    producer.flush(60)


def state(worker: WorkerProcess, began: float, cycles: int) -> str:
    pid = worker.process.pid
    revoked = len(worker.events("partition running"))
    return (
        f"{(time.monotonic() - began) / 60:5.1f} min, {cycles:3} cycles: {resident_mib(pid):6.1f} MiB, "
        f"{handles(pid):3} handles, {threads(pid):3} threads, partitions taken {revoked} times"
    )


def cycle(guest: WorkerProcess) -> None:
    """The guest joins, has partitions, and leaves."""
    had = len(guest.events("partition running"))
    guest.start()
    guest.wait_for("partition running", times=had + 1)
    assert guest.stop() == 0, guest.log.read_text()[-2000:]


def soak(env: dict[str, str], folder: Path, cycles: int, minutes: float) -> None:
    stopping = threading.Event()
    loading = threading.Thread(target=load, args=(env, stopping), daemon=True)
    loading.start()
    guest_env = {**env, "STREAM_STATE_DIR": str(folder / "guest")}
    guest = WorkerProcess(guest_env, folder / "guest-log")
    with WorkerProcess(env, folder / "log") as worker:
        worker.wait_for("partition running", times=4)
        began = said = time.monotonic()
        done = 0
        while done < cycles or time.monotonic() - began < minutes * 60:
            if done < cycles:
                cycle(guest)
                done += 1
            else:
                time.sleep(1)
            assert worker.process.poll() is None, worker.log.read_text()[-2000:]
            if time.monotonic() - said >= 60:
                said = time.monotonic()
                print(state(worker, began, done), flush=True)  # noqa: T201
        print(state(worker, began, done), flush=True)  # noqa: T201
        stopping.set()
        loading.join()
        time.sleep(5)
        assert worker.stop() == 0
    found = verify(settings_of(env), load_index(None), state_dirs=[folder / "state", folder / "guest"])
    print(f"verify: {found.records} records, {found.differences or 'no difference'}")  # noqa: T201


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--cycles", type=int, default=200)
    asked.add_argument("--minutes", type=float, default=30)
    chosen = asked.parse_args()
    with EmbeddedBroker(properties=SHORT_SESSIONS) as broker, tempfile.TemporaryDirectory() as folder:
        env = make_topics(own_env(broker.bootstrap_servers, Path(folder)), partitions=4)
        soak(env, Path(folder), chosen.cycles, chosen.minutes)


if __name__ == "__main__":
    main()
