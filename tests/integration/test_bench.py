"""`bench` on a real broker: it runs every measurement at small scale and deletes what it creates."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from support.topics import wait_until

pytestmark = pytest.mark.broker


def bench(*arguments: str, env: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "stream", "bench", *arguments],
        env={**base, **env}, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def bench_topics(kafka: str) -> set[str]:
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    return {topic for topic in topics if topic.startswith("bench-")}


def test_short_bench_measures_everything_and_its_output_is_right(kafka: str, tmp_path: Path) -> None:
    before = bench_topics(kafka)
    env = {"STREAM_BOOTSTRAP_SERVERS": kafka, "STREAM_TRANSACTION_TIMEOUT_MS": "5000"}
    with bench("--short", "--format", "json", "--plot", "x.png", env=env, folder=tmp_path) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    output = json.loads(out)
    assert output["holds"] is True
    for row in output["throughput"]:
        assert row["checked"]["results"] == row["blobs"]
        assert 0.9 < row["words"] / 100_000 < 1.1
        assert row["processes"] >= 1
        assert 0 < row["first_s"] <= row["whole_s"]
        assert 0.2 < row["cpu_s"] < 30
        assert 30 < row["peak_mib"] < 1_000
    assert [row["words_per_blob"] for row in output["throughput"]] == [20, 1_000]
    (load,) = output["latency"]
    latency = load["latency"]
    percentiles = [latency[name] for name in ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms")]
    assert all(a <= b for a, b in pairwise(percentiles))
    assert percentiles[0] > 1
    assert (load["blobs"], load["missing"], latency["count"]) == (800, 0, 600)
    assert output["latency_checked"]["results"] == 800
    (recovery,) = output["recovery"]
    assert 0.5 < recovery["first_new_s"] <= recovery["all_partitions_s"] <= recovery["caught_up_s"] + 0.001
    assert recovery["worst_ms"] >= 1_000 * recovery["first_new_s"] - 200
    assert recovery["checked"]["holds"] is True
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "Traceback" not in err
    assert "latency in a slow network is not measured" in err
    assert bench_topics(kafka) <= before


def test_bench_measures_delays_on_its_own_broker(tmp_path: Path) -> None:
    arguments = "--only", "delay", "--delays", "0,40", "--rates", "50", "--duration", "4", "--format", "json"
    with bench(*arguments, env={}, folder=tmp_path) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    output = json.loads(out)
    assert output["holds"] is True
    assert [(row["delay_ms"], row["rate"]) for row in output["delays"]] == [
        (0, 1),
        (0, 50),
        (40, 1),
        (40, 50),
    ]
    assert all(row["missing"] == 0 for row in output["delays"])
    # Fetch, AddPartitionsToTxn, Produce, AddOffsetsToTxn and TxnOffsetCommit. Readers see the end of the
    # transaction before the worker receives the response to EndTxn.
    assert 3 < output["round_trips"] < 7


def test_delays_on_a_configured_broker_are_refused(kafka: str, tmp_path: Path) -> None:
    with bench("--only", "delay", env={"STREAM_BOOTSTRAP_SERVERS": kafka}, folder=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "delays need a broker that bench starts" in err
    assert "fix: unset STREAM_BOOTSTRAP_SERVERS" in err


def test_interrupted_bench_deletes_its_topics_and_files(kafka: str, tmp_path: Path) -> None:
    before = bench_topics(kafka)
    env = {"STREAM_BOOTSTRAP_SERVERS": kafka, "TMPDIR": str(tmp_path)}
    with bench("--only", "latency", "--rates", "100", env=env, folder=tmp_path) as process:
        wait_until(lambda: len(bench_topics(kafka) - before) == 4, 60)
        wait_until(lambda: any(tmp_path.glob("*/*/worker-0.log")), 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not err
    assert bench_topics(kafka) <= before
    assert not list(tmp_path.iterdir())


def test_worker_that_does_not_start_is_a_clear_error(kafka: str, tmp_path: Path) -> None:
    env = {"STREAM_BOOTSTRAP_SERVERS": kafka}
    with bench("--only", "latency", "--worker-args", "--nonsense", env=env, folder=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the worker exited with status 2" in err
    assert "--nonsense" in err
    assert "Traceback" not in err
