"""`rebuild` and `diff` on a real broker: totals as of a moment equal an independent count up to then."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from support.load import DICTIONARY
from support.process import WorkerProcess
from support.topics import admin_of, plain_totals, produce, read, totals, wait_until
from test_refusals import run

pytestmark = pytest.mark.broker
TEXTS = ("Listen, silent cat", "stop the post", "spot the pots", "act")
BLOBS = 400


def blobs(first: int, number: int) -> list[tuple[str, str]]:
    return [(f"k{n}", TEXTS[n % len(TEXTS)]) for n in range(first, first + number)]


def diff(env: dict[str, str], *args: str, status: int) -> dict[str, object]:
    done = run(env, "diff", *args, "--format", "json")
    assert done.returncode == status, done.stdout + done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def rebuilt(env: dict[str, str], folder: Path, moment: str) -> Counter[str]:
    """Rebuild the totals as of a moment, and return them from a diff with empty totals."""
    done = run(env, "rebuild", "--at", moment, "--into", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "none").mkdir()
    report = diff(env, str(folder), "0:0,1:0", "--top", "0", status=1)
    differences = report["differences"]
    assert isinstance(differences, list)
    return Counter({each["signature"]: each["left"] for each in differences})


def expected(env: dict[str, str], ends: Sequence[int]) -> Counter[str]:
    records = [record for record in read(env, "input") if record.offset < ends[record.partition]]
    texts = [text for record in records if (text := (record.value or b"").decode(errors="ignore"))]
    return Counter(plain_totals([text for text in texts if text != "bad"], DICTIONARY))


@pytest.fixture
def counted(stream_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Let a worker count some blobs and reject one on each partition."""
    for partition in (0, 1):
        produce(stream_env, [*blobs(0, BLOBS), ("bad", b"bad\xff")], partition=partition)
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(stream_env, "result")) == 2 * BLOBS, 60)
        assert worker.stop() == 0
    return stream_env


def test_rebuilt_totals_equal_those_of_the_workers_and_an_independent_count(
    counted: dict[str, str], tmp_path: Path
) -> None:
    assert rebuilt(counted, tmp_path / "now", "now") == totals(counted)
    assert rebuilt(counted, tmp_path / "some", "0:7,1:100") == expected(counted, (7, 100))
    report = diff(counted, str(tmp_path / "now"), "live", status=0)
    assert report["different"] == 0
    assert diff(counted, str(counted["STREAM_STATE_DIR"]), "live", status=0)["different"] == 0
    again = run(counted, "rebuild", "--into", str(tmp_path / "now"))
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def test_totals_as_of_a_time_are_those_of_the_input_before_it(
    counted: dict[str, str], tmp_path: Path
) -> None:
    time.sleep(0.05)
    moment_ms = int(time.time() * 1000)
    time.sleep(0.05)
    for partition in (0, 1):
        produce(counted, blobs(0, 100), partition=partition)
    with WorkerProcess(counted, tmp_path / "log") as worker:
        wait_until(lambda: len(read(counted, "result")) == 2 * BLOBS + 200, 60)
        assert worker.stop() == 0
    seconds, ms = divmod(moment_ms, 1000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ms:03}"
    assert rebuilt(counted, tmp_path / "then", moment) == expected(counted, (BLOBS + 1, BLOBS + 1))
    report = diff(counted, moment, "live", status=1)
    left, right = report["left"], report["right"]
    assert isinstance(left, dict)
    assert isinstance(right, dict)
    assert right["words"] - left["words"] == 2 * 100 // 4 * sum(len(text.split()) for text in TEXTS)


def test_totals_are_rebuilt_although_retention_deleted_earlier_input(
    counted: dict[str, str], tmp_path: Path
) -> None:
    wanted = expected(counted, (200, 300))
    admin = admin_of(counted)
    requests = [TopicPartition(counted["STREAM_INPUT_TOPIC"], partition, 150) for partition in (0, 1)]
    for future in admin.delete_records(requests).values():
        future.result(30)
    done = run(counted, "rebuild", "--at", "0:200,1:300", "--into", str(tmp_path / "rest"))
    assert done.returncode == 0, done.stderr
    assert "the rebuild starts from the totals of" in done.stderr.replace("\n", " ")
    report = diff(counted, str(tmp_path / "rest"), "live", "--top", "0", status=1)
    assert {each["signature"]: each["left"] for each in report["differences"]} == wanted  # type: ignore[attr-defined]
    deleted = run(counted, "rebuild", "--at", "0:149,1:300", "--into", str(tmp_path / "deleted"))
    assert deleted.returncode == 1
    assert "choose a moment from offset 150 on" in deleted.stderr
    assert not list((tmp_path / "deleted").glob("*")) if (tmp_path / "deleted").exists() else True


def test_wrong_moment_is_a_clear_error(stream_env: dict[str, str], tmp_path: Path) -> None:
    for moment, message in (
        ("yesterday", "'yesterday' is not a time"),
        ("0:1", "give an offset for each of them"),
        ("0:1,0:2,1:3", "names a partition twice"),
        ("0:1,1:999999", "ends at"),
    ):
        done = run(stream_env, "rebuild", "--at", moment, "--into", str(tmp_path / "x"))
        assert done.returncode == 2
        assert message in done.stderr
    assert run(stream_env, "diff", "nowhere", "live").returncode == 2
