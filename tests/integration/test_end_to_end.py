import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.process import WorkerProcess
from support.topics import produce, read, results, totals, wait_until

pytestmark = pytest.mark.broker

PROTOCOLS = pytest.mark.parametrize("protocol", ["consumer", "classic"])


@PROTOCOLS
def test_cat_gives_act_cat_tac(stream_env: dict[str, str], tmp_path: Path, protocol: str) -> None:
    env = {**stream_env, "STREAM_GROUP_PROTOCOL": protocol}
    produce(env, [("a", "cat"), ("b", "Cat, act! no-one")])
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(env, "result")) == 2, 60)
        by_id = {result["blob_id"]: result for result in results(env)}
        assert by_id["a"]["anagram_counts"] == {"act": 1, "cat": 1, "tac": 1}
        assert by_id["a"]["words"] == 1
        assert by_id["b"]["words"] == 4
        assert by_id["b"]["anagram_counts"]["tac"] == 2
        assert totals(env)["act"] == 3
        assert worker.stop() == 0


def test_result_keeps_the_partition_and_the_trace_of_its_input(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    produce(stream_env, [(None, "cat")], partition=1, headers=[("traceparent", trace), ("other", b"x")])
    with WorkerProcess(stream_env, tmp_path / "log"):
        wait_until(lambda: read(stream_env, "result"), 60)
    (record,) = read(stream_env, "result")
    (counted,) = read(stream_env, "count")
    assert record.partition == counted.partition == 1
    assert record.key == f"{stream_env['STREAM_INPUT_TOPIC']}-1-0".encode()
    assert dict(record.headers)["traceparent"] == trace
    assert "other" not in dict(record.headers)
    assert dict(counted.headers)["input-next-offset"] == b"1"


def test_rejected_records_become_dead_letters_unchanged(stream_env: dict[str, str], tmp_path: Path) -> None:
    poison: list[tuple[bytes, bytes | None, list[tuple[str, bytes | None]]]] = [
        (b"\xff", b"\xff\xfe", [("h", b"1"), ("h", None)]),
        (b"j", b"{", [("content-type", b"application/json; charset=utf-8")]),
        (b"s", b'{"text": 1}', [("content-type", b"Application/JSON")]),
        (b"n", None, []),
        (b"t", b"x" * 2_000_001, []),
    ]
    env = {**stream_env, "STREAM_TEXT_BYTES_MAX": "2000000"}
    for key, value, headers in poison:
        produce(env, [(key, value)], partition=0, headers=headers)
    produce(
        env,
        [("good", '{"id": "mine", "text": "cat", "more": [1]}')],
        partition=0,
        headers=[("content-type", b"application/json")],
    )
    with WorkerProcess(env, tmp_path / "log"):
        wait_until(lambda: read(env, "result"), 60)
    letters = read(env, "dead-letter")
    reasons = [dict(letter.headers)["dead-letter.reason"] for letter in letters]
    assert reasons == [b"undecodable", b"bad-json", b"wrong-shape", b"null-value", b"text-too-large"]
    for letter, (key, value, headers) in zip(letters, poison, strict=True):
        assert (letter.key, letter.value) == (key, value)
        assert list(letter.headers)[: len(headers)] == headers
        assert dict(letter.headers)["__streams.errors.topic"] == env["STREAM_INPUT_TOPIC"].encode()
    assert [result["blob_id"] for result in results(env)] == ["mine"]


def test_too_many_rejections_in_a_row_stop_the_worker_without_committing_the_batch(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**stream_env, "STREAM_REJECTED_IN_A_ROW_MAX": "3"}
    produce(env, [(None, b"\xff")] * 10, partition=0)
    with WorkerProcess(env, tmp_path / "log") as worker:
        assert worker.wait() == 1
        assert "STREAM_REJECTED_IN_A_ROW_MAX" in worker.events("worker failed")[0]["error"]
    assert len(read(env, "dead-letter")) <= 3


def test_blob_of_ten_mebibytes_is_counted(stream_env: dict[str, str], tmp_path: Path) -> None:
    text = ("cat " * (10 * 1024 * 256))[: 10 * 1024 * 1024 - 1]
    produce(stream_env, [("big", text)])
    with WorkerProcess(stream_env, tmp_path / "log"):
        wait_until(lambda: read(stream_env, "result"), 60)
    (result,) = results(stream_env)
    assert result["anagram_counts"]["cat"] == result["words"] == len(text.split())


def test_blobs_without_known_words_are_committed(stream_env: dict[str, str], tmp_path: Path) -> None:
    produce(stream_env, [("a", "zzqzz 42"), ("b", ""), ("c", None)], partition=0)
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(stream_env, "result")) == 2, 60)
        assert worker.stop() == 0
        assert totals(stream_env) == {}
        worker.start()
        worker.wait_for("partition running", times=4)
        assert {event["input_offset"] for event in worker.events("partition running")[2:]} == {0, 3}


def test_sigterm_drains_the_worker(stream_env: dict[str, str], tmp_path: Path) -> None:
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        worker.wait_for("worker started")
        worker.signal(signal.SIGTERM)
        assert worker.wait(15) == 0
        assert worker.events("worker stopping")


def test_probes_and_metrics_respond(stream_env: dict[str, str], tmp_path: Path) -> None:
    from urllib.request import urlopen  # noqa: PLC0415

    produce(stream_env, [("a", "cat")])
    with WorkerProcess(stream_env, tmp_path / "log") as worker:
        worker.wait_for("partition running", times=2)
        address = worker.events("telemetry listens")[0]["address"]

        def get(path: str) -> Any:
            with urlopen(address + path) as response:
                return response.read()

        wait_until(lambda: b"stream_records_total 1.0" in get("/metrics"), 30)
        assert orjson.loads(get("/healthz/ready")) == {"ready": True, "reasons": []}
        assert orjson.loads(get("/healthz/live"))["live"]
        assert orjson.loads(get("/healthz/started"))["started"]
