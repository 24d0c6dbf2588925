"""Measures the cost of metrics: pairs of workers, with and without metrics, process the same backlog in turn.

    hatch run metrics-cost [pairs]

It compares the processor time between 10% and 90% of the backlog, which other load on the machine hardly
distorts. The worker without metrics has no instrumented ports, no client statistics, no cluster monitor, and
an observer that does nothing.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from support.environment import own_env
from support.topics import make_topics, produce, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.kafka.clients import reader_options
from stream.kafka.offsets_poller import group_offsets

BLOBS, WORDS, PARTITIONS = 200_000, 100, 4
WITHOUT = """
import sys
from stream.cli.main import main
from stream.worker import wiring
from stream.testing.observer import FakeObserver

class Silent(FakeObserver):
    def __init__(self, *_, **__):
        super().__init__()
    def committed(self, transaction): ...
    def restoring(self, *_): ...
    def connected(self, brokers): ...

class NoMonitor:
    def close(self): ...

wiring._Parts.observer = lambda *_: Silent()
wiring._Parts.cluster_monitor = lambda *_, **__: NoMonitor()
wiring.InstrumentedSource = lambda source, *_: source
wiring.InstrumentedSink = lambda sink, *_: sink
wiring.InstrumentedStores = lambda stores, *_: type("Plain", (), {
    "open": stores.open, "set_aside": stores.set_aside, "sample": None})()
wiring.clients.with_statistics = lambda options, *_: options
"""
RUN = """
sys.argv = ["anagram-stream", "worker", "--processes", "1"]
main()
"""
WITH = "import sys\nfrom stream.cli.main import main\n" + RUN


def texts() -> list[str]:
    rng = random.Random(1)
    from support.load import DICTIONARY  # noqa: PLC0415 - slow to import

    common = rng.sample(DICTIONARY, 20_000)
    return [" ".join(rng.choices(common, k=WORDS)) for _ in range(BLOBS)]


def run(env: dict[str, str], script: str, folder: Path) -> float:
    """Return the processor time of the worker, in seconds per million words."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    settings = settings_of(env)
    options = reader_options(settings)
    samples: list[tuple[int, float]] = []  # records committed, processor time
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", script], env={**base, **env}, stderr=log)
        stats = psutil.Process(process.pid)

        def done() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            committed = group_offsets(options, settings.input_topic, range(PARTITIONS))
            used = stats.cpu_times()
            samples.append((sum(each.offset for each in committed.values()), used.user + used.system))
            return samples[-1][0] >= BLOBS

        wait_until(done, 300, every=0.05)
        process.terminate()
        process.wait(30)
    (n0, s0), *_ = [each for each in samples if each[0] >= BLOBS // 10]
    *_, (n1, s1) = [each for each in samples if each[0] <= BLOBS * 9 // 10]
    return (s1 - s0) / ((n1 - n0) * WORDS / 1e6)


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratios = []
    with EmbeddedBroker(heap_mib=768) as broker, tempfile.TemporaryDirectory() as folder:
        first = make_topics(own_env(broker.bootstrap_servers, Path(folder)), PARTITIONS)
        produce(first, ((None, text) for text in texts()))

        def measured(script: str, number: int) -> float:
            own = Path(folder) / f"{number}"
            own.mkdir()
            env = own_env(broker.bootstrap_servers, own)
            env["STREAM_INPUT_TOPIC"] = first["STREAM_INPUT_TOPIC"]
            return run(make_topics(env, PARTITIONS), script, own)

        for pair in range(pairs):
            order = [WITH, WITHOUT + RUN] if pair % 2 else [WITHOUT + RUN, WITH]
            cpu = {script: measured(script, 2 * pair + n) for n, script in enumerate(order)}
            ratios.append(cpu[WITH] / cpu[WITHOUT + RUN])
            print(  # noqa: T201
                f"with {cpu[WITH]:.3f}, without {cpu[WITHOUT + RUN]:.3f} CPU seconds per million words: "
                f"{ratios[-1] - 1:+.1%}",
                flush=True,
            )
    print(f"median {statistics.median(ratios) - 1:+.1%} of {pairs} pairs")  # noqa: T201


if __name__ == "__main__":
    main()
