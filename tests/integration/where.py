"""Charts where a worker spends its processor time: `hatch run where resources/where-time-goes.svg`.

A worker processes a backlog on the embedded broker. py-spy samples its Python threads; /proc gives the
processor time of the threads of librdkafka and RocksDB. Shares are of the processor time, so other load
distorts them little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from matplotlib.figure import Figure

# The stage of a sample is the first that matches a frame, from the innermost frame outwards.
STAGES = (
    (
        "fetch: messages from librdkafka",
        ("kafka/source.py", "kafka/positions.py", "kafka/headers.py", "kafka/input_records.py"),
    ),
    ("decode JSON", ("_envelope", "decode_blob", "_decode_ordinary")),
    ("spell words as numbers", ("core/spelling.py",)),
    ("look signatures up", ("core/lexicon.py",)),
    ("count, and make the JSON", ("core/engine.py",)),
    ("encode results", ("core/codec.py", "core/bulk.py", "core/anagrams.py")),
    ("totals", ("core/totals.py",)),
    ("results to librdkafka", ("KafkaSink.produce (", "worker/processing.py")),
    ("changed totals to librdkafka", ("KafkaSink.produce_changelog",)),
    ("commit", ("KafkaSink.flush", "KafkaSink.send_offsets", "KafkaSink.begin", "worker/transaction.py")),
    ("write the store", ("store/rocks.py",)),
)
REST = "the rest of Python"
THREADS = {"rdk": "librdkafka's threads: fetch, frame, send", "rocksdb": "RocksDB's threads: flush, compact"}
SAMPLE_S = 5
BUSY_S = 2.0  # processor time in seconds, more than a start takes
WORDS = {5: 12_000_000, 20: 30_000_000, 100: 60_000_000}  # by words per blob; more than the samples cover
COLORS = ("#88ccee", "#4477aa", "#223366")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path, nargs="?", help="an SVG or PNG")
    picture = parser.parse_args().picture
    shares = {words_per_blob: _measure(words_per_blob) for words_per_blob in WORDS}
    for stage in shares[max(WORDS)]:
        print("  ".join(f"{each[stage]:6.1%}" for each in shares.values()), f" {stage}")  # noqa: T201
    if picture is not None:
        _draw(shares, picture)


def _measure(words_per_blob: int) -> dict[str, float]:
    """Return stage -> share of a worker's processor time."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples"
        command = [sys.executable, "-m", "stream", "bench", "--only", "throughput"]
        command += ["--blob-words", str(words_per_blob), "--words", str(WORDS[words_per_blob])]
        command += ["--worker-args", "--processes 1", "--format", "json"]
        bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        worker = _busy_worker(bench)
        before = _thread_seconds(worker)
        sampling = ["py-spy", "record", "-p", str(worker.pid), "-d", str(SAMPLE_S), "-r", "200"]
        sampling += ["-f", "raw", "-o", str(samples), "--nonblocking"]
        subprocess.run(sampling, check=True, capture_output=True)
        after = _thread_seconds(worker)
        shares = _shares(samples.read_text(), {kind: after[kind] - before[kind] for kind in after})
        printed, _ = bench.communicate()
    print(json.dumps(json.loads(printed)["throughput"][0]))  # noqa: T201
    return shares


def _busy_worker(bench: "subprocess.Popen[str]") -> psutil.Process:
    while bench.poll() is None:
        for child in psutil.Process(bench.pid).children(recursive=True):
            try:
                if "worker" in child.cmdline() and sum(child.cpu_times()[:2]) > BUSY_S:
                    return child
            except psutil.Error:
                continue
        time.sleep(0.05)
    raise SystemExit("bench ended before its worker was busy")


def _thread_seconds(worker: psutil.Process) -> dict[str, float]:
    """Return kind of thread -> processor time in seconds."""
    seconds = dict.fromkeys([*THREADS, "python"], 0.0)
    for thread in worker.threads():
        name = Path(f"/proc/{worker.pid}/task/{thread.id}/comm").read_text(encoding="utf-8")
        kind = next((kind for kind in THREADS if name.startswith(kind)), "python")
        seconds[kind] += thread.user_time + thread.system_time
    return seconds


def _shares(samples: str, seconds: dict[str, float]) -> dict[str, float]:
    """Return stage -> share of the processor time; the samples divide that of Python."""
    counted: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, times = line.rpartition(" ")
        if (stage := _stage(stack)) is not None:
            counted[stage] += int(times)
    whole = sum(seconds.values())
    shares = {
        stage: counted[stage] / counted.total() * seconds["python"] / whole
        for stage in [*(stage for stage, _ in STAGES), REST]
    }
    return shares | {name: seconds[kind] / whole for kind, name in THREADS.items()}


def _stage(stack: str) -> str | None:
    frames = stack.split(";")
    if any(idle in frames[-1] for idle in ("selectors.py", "_worker (", "threading.py")):
        return None
    if "KafkaSink.commit" in stack or "KafkaSource._poll" in frames[-1]:
        return None  # waits without the GIL; librdkafka's threads do the work
    for frame in _own_frames(frames):
        for stage, parts in STAGES:
            if any(part in frame for part in parts):
                return stage
    return REST


def _own_frames(frames: list[str]) -> Iterator[str]:
    return (frame for frame in reversed(frames) if "stream/" in frame)


def _draw(shares: Mapping[int, Mapping[str, float]], picture: Path) -> None:
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    axes = figure.subplots()
    names, height = list(shares[max(shares)]), 0.8 / len(shares)
    for number, (words_per_blob, of_stage) in enumerate(shares.items()):
        places = [position + number * height for position in range(len(names))]
        percentages = [of_stage[name] * 100 for name in names]
        label = f"{words_per_blob} words per blob"
        bars = axes.barh(places, percentages, height, color=COLORS[number], label=label)
        axes.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=8)
    axes.set_yticks([position + 0.4 - height / 2 for position in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("% of a worker's processor time, with a backlog")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
