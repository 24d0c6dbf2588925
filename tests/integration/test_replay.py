"""`dead-letters replay` on a real broker: each dead letter is sent once, even across kills."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.process import WorkerProcess
from support.topics import admin_of, make_topics, produce, read, results, settings_of, totals, wait_until
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker
from stream.core.decide import Decider, merge
from stream.dictionary import load_index
from stream.kafka.offsets import stable_ends
from stream.tools.child_environment import environment_without_settings

pytestmark = [pytest.mark.broker, pytest.mark.embedded]
PARTITIONS = 4
LETTERS_PER_REASON = 2_000
KILLS = 5
LETTERS_PER_S = 1_000  # the rate of a replay, low enough to kill it midway
LONG_TEXTS = 20
TOO_LONG_FOR_THE_TOPIC = 200 * 1024  # the dead letter of such a text has no value
NARROW = {
    "STREAM_INPUT_FORMAT": "json",
    "STREAM_TEXT_BYTES_MAX": "300",
    "STREAM_RESULT_BYTES_MAX": "120",
    "STREAM_REJECTED_IN_A_ROW_MAX": "0",
}
REJECTING = {"STREAM_FAULTS_ACCEPTED": "true", "STREAM_REJECTED_IN_A_ROW_MAX": "0"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(data_dir=tmp_path / "kafka", properties=SHORT_SESSIONS | SOON_ABORTED) as running:
        yield running


@pytest.fixture
def env(broker: EmbeddedBroker, tmp_path: Path) -> dict[str, str]:
    made = make_topics(own_env(broker.bootstrap_servers, tmp_path), PARTITIONS)
    narrow_topic = ConfigResource(
        ConfigResource.Type.TOPIC,
        made["STREAM_DEAD_LETTER_TOPIC"],
        incremental_configs=[
            ConfigEntry("max.message.bytes", str(160 * 1024), incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin = admin_of(made)  # a reference is kept: requests fail once it is garbage-collected
    for future in admin.incremental_alter_configs([narrow_topic]).values():
        future.result(30)
    return made


def texts(reason: str, letters: int) -> list[tuple[str, str]]:
    """Return keys and values of records that are rejected for this reason, but are valid plain text."""
    values = {
        "bad-json": "Listen, silent cat",
        "wrong-shape": '{"text": 7}',
        "text-too-large": json.dumps({"text": "stop the post " * 30}),
        "result-too-large": json.dumps({"text": "listen to the tinsel"}),
        "retries-exhausted": "spot the pots",
    }
    return [(f"{reason}-{n}", values[reason]) for n in range(letters)]


def reject(env: dict[str, str], letters: int, folder: Path) -> dict[str, str]:
    """Let workers reject records for five reasons; return key -> text."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"stages": {"get_words": {"rate": 1.0, "error": "rejected"}}}))
    records = [
        record
        for reason in ("bad-json", "wrong-shape", "text-too-large", "result-too-large")
        for record in texts(reason, letters)
    ]
    long = json.dumps({"text": "stop " * (TOO_LONG_FOR_THE_TOPIC // 5)})
    for number in range(LONG_TEXTS):
        records[2 * letters + number] = (f"text-too-large-{number}", long)
    exhausted = texts("retries-exhausted", letters)
    for worker_env, produced in (
        ({**env, **NARROW}, records),
        ({**env, **REJECTING, "STREAM_FAULTS": str(plan)}, exhausted),
    ):
        before = dead_letters(env)
        for partition in range(PARTITIONS):
            produce(env, produced[partition::PARTITIONS], partition=partition)
        with WorkerProcess(worker_env, folder / "rejecting.log") as worker:
            wait_until(lambda: dead_letters(env) == before + len(produced), 120)  # noqa: B023
            worker.stop()
    return dict([*records, *exhausted])


def dead_letters(env: dict[str, str]) -> int:
    return sum("__streams.errors.offset" in dict(r.headers) for r in read(env, "dead-letter"))


def sent(env: dict[str, str]) -> int:
    """Return how many records were replayed; only those have the header."""
    return sum("dead-letter.replays" in dict(r.headers) for r in read(env, "input"))


def ends(env: dict[str, str]) -> int:
    return sum(stable_ends(admin_of(env), env["STREAM_INPUT_TOPIC"], range(PARTITIONS)).values())


def replay(env: Mapping[str, str], *args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stream", "dead-letters", "replay", "--yes", *args]
    base = environment_without_settings()
    return subprocess.Popen(command, env={**base, **env}, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def test_each_dead_letter_is_replayed_once_although_replay_and_broker_are_killed(
    broker: EmbeddedBroker, env: dict[str, str], tmp_path: Path
) -> None:
    by_key = reject(env, LETTERS_PER_REASON, tmp_path)
    reasons = Counter(
        (dict(record.headers)["dead-letter.reason"] or b"").decode() for record in read(env, "dead-letter")
    )
    assert set(reasons.values()) == {LETTERS_PER_REASON}, reasons
    assert len(reasons) == 5
    with WorkerProcess(env, tmp_path / "log") as worker:
        for kill in range(KILLS):
            before = ends(env)
            process = replay(env, "--rate", str(LETTERS_PER_S))
            wait_until(lambda: ends(env) > before + 500 or process.poll() is not None, 60)  # noqa: B023
            if kill == 2:
                broker.kill()
                broker.start()
                wait_until(lambda: ends(env) > before + 1_000, 120)  # noqa: B023 - it resumes by itself
            process.kill()
            process.communicate(timeout=10)
        last = replay(env)
        _, err = last.communicate(timeout=120)
        assert last.returncode == 0, err.decode()
        again = run(env, "dead-letters", "replay", "--yes")
        assert (again.returncode, again.stderr) == (0, "0 dead letters sent\n"), again.stderr
        wait_until(lambda: len(read(env, "result")) >= len(by_key), 120)
        assert worker.stop() == 0
    assert sent(env) == len(by_key)
    decider = Decider(load_index(None))
    decisions = {key: decider.decide(text) for key, text in by_key.items()}
    counted = results(env)
    assert {r["blob_id"]: r["anagram_counts"] for r in counted} == {
        key: dict(each.anagram_counts) for key, each in decisions.items()
    }
    assert len(counted) == len(by_key)
    assert totals(env) == merge(each.deltas for each in decisions.values())
    done = run(env, "verify", "--state-dir", env["STREAM_STATE_DIR"])
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout, err.decode(), settings_of(env).group_id)  # noqa: T201 - shown with -s
