"""Measures `serve` while a worker counts at half of its maximum rate: hatch run serve-cost.

The maximum is the rate of the worker while the input is produced on the same cores.

Prints requests/s, p50 and p99 of three requests, measured with wrk (a Debian package), the age of the
responses, memory and processor time. There are 100,000 signatures, 4 partitions, blobs of 100 words, and an
embedded broker with the default group settings.
"""

import json
import multiprocessing
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx2
import psutil
from confluent_kafka import Producer
from support.environment import own_env
from support.process import WorkerProcess
from support.serve_process import ServeProcess
from support.topics import make_topics, settings_of, wait_until

from stream.broker.embedded import EmbeddedBroker
from stream.kafka.clients import producer_options
from stream.tools.kafka.group_reader import GroupReader

SIGNATURES, WORDS_PER_BLOB, PARTITIONS = 100_000, 100, 4
MAXIMUM_S = 10.0
SUBMISSIONS = 40
WRK_S, CONNECTIONS = 10, 8
AGES_S = 15.0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def dictionary(folder: Path) -> list[str]:
    """Write and return words of which no two are anagrams."""
    rng = random.Random(1)
    words: dict[str, str] = {}
    while len(words) < SIGNATURES:
        word = "".join(rng.choices(LETTERS, k=rng.randint(5, 9)))
        words.setdefault("".join(sorted(word)), word)
    (folder / "words.txt").write_text("\n".join(words.values()))
    return list(words.values())


def texts(words: list[str], number: int) -> list[bytes]:
    rng = random.Random(2)
    weights = [1 / rank for rank in range(1, len(words) + 1)]  # as in a natural language
    return [" ".join(rng.choices(words, weights, k=WORDS_PER_BLOB)).encode() for _ in range(number)]


def produce(env: dict[str, str], words: list[str], blobs: int, rate: float) -> None:
    """Produce blobs at a rate, or as fast as possible if it is inf."""
    producer = Producer(producer_options(settings_of(env)))
    pool, began = texts(words, 2_000), time.monotonic()
    for number in range(blobs):
        if number % 50 == 0:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        while len(producer) > 50_000:
            producer.poll(0.05)
        producer.produce(env["STREAM_INPUT_TOPIC"], pool[number % len(pool)], b"blob-%d" % number)
        producer.poll(0)
    producer.flush(60)


def cover(env: dict[str, str], words: list[str]) -> None:
    """Give each signature a total."""
    producer = Producer(producer_options(settings_of(env)))
    for start in range(0, len(words), 1_000):
        producer.produce(env["STREAM_INPUT_TOPIC"], " ".join(words[start : start + 1_000]).encode())
    producer.flush(60)


def wrk(url: str) -> dict[str, Any]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WRK_S}s", "--latency", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = {name: re.search(rf"{name}\s+([\d.]+)(us|ms|s)", out) for name in ("50%", "99%")}
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    milliseconds = {name: round(float(m[1]) * scale[m[2]], 2) for name, m in figures.items() if m}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    failed = re.search(r"Non-2xx[^:]*: (\d+)", out)
    return {
        "requests_per_s": round(float(rate[1])) if rate else None,
        "p50_ms": milliseconds.get("50%"),
        "p99_ms": milliseconds.get("99%"),
        "not_2xx": int(failed[1]) if failed else 0,
    }


def ages(url: str) -> dict[str, Any]:
    """Measure the age of the totals, and the time from submitting a text to its result."""
    seen: list[float] = []
    with httpx2.Client() as client:
        deadline = time.monotonic() + AGES_S
        while time.monotonic() < deadline:
            seen.append(client.get(f"{url}/v1/top?limit=1").json()["freshness"]["age_ms"])
            time.sleep(0.02)
        waits = []
        for _ in range(SUBMISSIONS):
            began = time.monotonic()
            answer = client.post(f"{url}/v1/blobs?wait=5000", json={"text": "x"}, timeout=15)
            assert answer.status_code in {HTTPStatus.OK, HTTPStatus.ACCEPTED}
            waits.append((time.monotonic() - began) * 1000)
    return {
        "age_p50_ms": round(quantiles(seen, n=100)[49]),
        "age_p99_ms": round(quantiles(seen, n=100)[98]),
        "submit_to_result_p50_ms": round(quantiles(waits, n=100)[49]),
        "submit_to_result_p99_ms": round(quantiles(waits, n=100)[98]),
    }


def measure(serve: ServeProcess, words: list[str]) -> dict[str, Any]:
    process = psutil.Process(serve.pid)
    before, began = process.cpu_times(), time.monotonic()
    figures = ages(serve.url)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    figures["cores_without_load_of_requests"] = round(spent / (time.monotonic() - began), 2)
    for name, path in (("word", f"words/{words[7]}"), ("top", "top"), ("blob", "blobs/blob-77")):
        figures[name] = wrk(f"{serve.url}/v1/{path}")
    figures["memory_mib"] = round(process.memory_info().rss / 2**20)
    return figures


def loaded(env: dict[str, str], words: list[str], rate: float) -> multiprocessing.Process:
    load = multiprocessing.Process(target=produce, args=(env, words, 10**7, rate))
    load.start()
    return load


def committed(reader: GroupReader) -> int:
    return sum(lag.committed or 0 for lag in reader.read()[1])


def measure_all(env: dict[str, str], words: list[str], folder: Path) -> dict[str, Any]:
    reader = GroupReader(settings_of(env))

    def drained() -> bool:
        lags = reader.read()[1]
        return all(lag.lag == 0 and lag.committed for lag in lags)

    report: dict[str, Any] = {}
    with WorkerProcess(env, folder / "worker.log") as worker:
        worker.wait_ready()
        wait_until(drained, 120, every=0.1)
        load = loaded(env, words, 1e9)
        time.sleep(3)
        first, began = committed(reader), time.monotonic()
        time.sleep(MAXIMUM_S)
        maximum = (committed(reader) - first) / (time.monotonic() - began)
        load.terminate()
        wait_until(drained, 120, every=0.1)
        report["worker_maximum_words_per_s"] = round(maximum * WORDS_PER_BLOB)
        with ServeProcess(env, folder / "serve.log") as serve:
            began = time.monotonic()
            serve.wait_serving()
            serve.wait_current(120)
            report["built_from_the_topics_s"] = round(time.monotonic() - began, 1)
            report["idle"] = measure(serve, words)
            load = loaded(env, words, maximum / 2)
            time.sleep(5)
            report["at_half_of_the_maximum"] = measure(serve, words)
            report["lag_records_meanwhile"] = sum(lag.lag for lag in reader.read()[1])
            load.terminate()
            serve.kill()
            began = time.monotonic()
            serve.start()
            serve.wait_serving(2)
            serve.wait_current(120)
            report["restarted_s"] = round(time.monotonic() - began, 1)
    return report


def main() -> None:
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed: apt-get install wrk")
    folder = Path(tempfile.mkdtemp())
    words = dictionary(folder)
    with EmbeddedBroker(heap_mib=1024) as broker:
        env = own_env(broker.bootstrap_servers, folder)
        env |= {"STREAM_DICTIONARY": str(folder / "words.txt"), "STREAM_SERVE_SUBMIT": "true"}
        make_topics(env, PARTITIONS)
        cover(env, words)
        report = measure_all(env, words, folder)
    shutil.rmtree(folder)
    print(json.dumps(report, indent=2))  # noqa: T201 - its output


if __name__ == "__main__":
    main()
