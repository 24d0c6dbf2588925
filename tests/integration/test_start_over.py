"""`start-over` on a real broker: another dictionary under load, beside the workers of the old one."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from support.load import DICTIONARY
from support.process import WorkerProcess
from support.topics import admin_of, plain_totals, produce, read, settings_of, totals, wait_until
from test_refusals import run

from stream.kafka import topics as kafka_topics
from stream.tools.child_environment import environment_without_settings
from stream.tools.start_over import SUFFIXED

pytestmark = pytest.mark.broker
TEXT = "Listen, silent cat: stop the post"
WORDS = ("cat", "act", "brandnew", "listen")


@contextmanager
def load(env: dict[str, str]) -> Iterator[None]:
    """Produce some blobs every tenth of a second."""
    stopped = threading.Event()

    def run_load() -> None:
        number = 0
        while not stopped.wait(0.1):
            for partition in (0, 1):
                produce(env, [(f"l{number}", TEXT)] * 5, partition=partition)
            number += 1

    thread = threading.Thread(target=run_load)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def start_over(env: dict[str, str], *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "stream", "start-over", "--suffix", "v2", *args],
        env={**environment_without_settings(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def renamed(env: dict[str, str], dictionary: Path) -> dict[str, str]:
    names = {f"STREAM_{name.upper()}": f"{env[f'STREAM_{name.upper()}']}-v2" for name in SUFFIXED}
    return {**env, **names, "STREAM_DICTIONARY": str(dictionary)}


def test_another_dictionary_counts_the_whole_input_beside_the_old_one(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("\n".join(WORDS))
    successor = renamed(stream_env, dictionary)
    for partition in (0, 1):
        produce(stream_env, [(f"k{n}", f"{TEXT} wendbran") for n in range(2_000)], partition=partition)
    admin = admin_of(stream_env)
    ids = kafka_topics.check(admin, settings_of(stream_env)).ids
    with WorkerProcess(stream_env, tmp_path / "log") as worker, load(stream_env):
        killed = start_over(stream_env, "--dictionary", str(dictionary), "--processes", "2")
        wait_until(lambda: "result" in kafka_topics.describe(admin, settings_of(successor)), 90)
        wait_until(lambda: read(successor, "result"), 90)
        killed.kill()
        killed.communicate(timeout=30)
        resumed = start_over(stream_env, "--dictionary", str(dictionary), "--processes", "2")
        out, err = resumed.communicate(timeout=240)
        assert resumed.returncode == 0, out + err
        assert worker.is_running
        assert worker.stop() == 0
    assert err.count("exactly once") == 2
    assert "warning: the two sides were counted with different dictionaries" in err
    assert f"STREAM_DICTIONARY\t\t{dictionary}" in out
    assert (
        f"STREAM_RESULT_TOPIC\t{stream_env['STREAM_RESULT_TOPIC']}\t{successor['STREAM_RESULT_TOPIC']}" in out
    )
    assert kafka_topics.check(admin_of(stream_env), settings_of(stream_env)).ids == ids
    with (
        WorkerProcess(successor, tmp_path / "log2") as worker,
        WorkerProcess(stream_env, tmp_path / "log") as old,
    ):
        blobs = len(read(stream_env, "input"))
        for env in (stream_env, successor):
            wait_until(lambda: len(read(env, "result")) == blobs, 90)  # noqa: B023
        assert worker.stop() == old.stop() == 0
    texts = [(record.value or b"").decode() for record in read(stream_env, "input")]
    assert totals(successor) == plain_totals(texts, WORDS)
    assert totals(successor)["abdennrw"] == 4_000
    assert totals(stream_env) == plain_totals(texts, DICTIONARY)


def test_input_that_retention_deleted_is_a_loss_that_must_be_accepted(stream_env: dict[str, str]) -> None:
    produce(stream_env, [(None, "cat")] * 10, partition=0)
    admin = admin_of(stream_env)
    for future in admin.delete_records([TopicPartition(stream_env["STREAM_INPUT_TOPIC"], 0, 4)]).values():
        future.result(30)
    done = run(stream_env, "start-over", "--suffix", "v2")
    assert done.returncode == 1
    assert "retention deleted the input before offset 4" in done.stderr
    assert "--accept-loss" in done.stderr
    wrong = run(stream_env, "start-over", "--suffix", "a b")
    assert wrong.returncode == 2


def test_worker_that_exits_is_an_error_with_its_last_lines(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    produce(stream_env, [(None, b"\xff")] * 200, partition=0)
    env = {**stream_env, "STREAM_REJECTED_IN_A_ROW_MAX": "5"}
    began = time.monotonic()
    done = run(env, "start-over", "--suffix", "v2")
    assert done.returncode == 1
    assert time.monotonic() - began < 60
    assert "records in a row were rejected" in done.stderr
    assert "it continues where it stopped" in done.stderr
    assert list(tmp_path.glob("core*")) == []
