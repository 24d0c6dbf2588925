"""The files and the SQL of docs/how-to/kafka-connect.md, with a real Kafka Connect and PostgreSQL."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from support.environment import SHORT_SESSIONS, own_env
from support.kafka_connect import CONFIGURATION, Connect, connect
from support.load import DICTIONARY, texts
from support.ops import ROOT
from support.pages import blocks
from support.postgres import Postgres, postgres
from support.process import WorkerProcess
from support.topics import make_topics, plain_totals, produce, read, wait_until

from stream.broker.embedded import EmbeddedBroker

PAGE = ROOT / "docs/how-to/kafka-connect.md"
TOPICS = {
    "INPUT": "text-blobs",
    "RESULT": "anagram-results",
    "COUNT": "signature-counts",
    "DEAD_LETTER": "dead-letters",
}
COPIED_S_MAX = 90
UNKNOWN = "zzqzz 42"  # without a word of the dictionary
NOT_UTF8 = b"\xff"
NUL_ID = "an id with \0"
ABORTED = b'{"blob_id":"aborted"}'


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a worker, with the default topic names that the files use."""
    names = {f"STREAM_{role}_TOPIC": name for role, name in TOPICS.items()}
    with EmbeddedBroker(properties=SHORT_SESSIONS) as broker:
        yield make_topics(own_env(broker.bootstrap_servers, tmp_path) | names, partitions=3)


def test_the_page_shows_the_files() -> None:
    names = ("signature-counts", "anagram-results", "worker")
    files = [(CONFIGURATION / f"{name}.properties").read_text(encoding="utf-8") for name in names]
    assert code("properties") == files


@pytest.mark.broker
@pytest.mark.embedded
@pytest.mark.timeout(600)  # with a download
def test_tables_contain_each_committed_result_and_total_once_even_if_connect_is_killed(
    env: dict[str, str], tmp_path: Path
) -> None:
    blobs = texts(blobs=1_500, words=20)
    with (
        postgres() as database,
        WorkerProcess(env, tmp_path / "log") as worker,
        connect(tmp_path, env["STREAM_BOOTSTRAP_SERVERS"], database) as copier,
    ):
        abort_a_result(env)
        produce(env, [(NUL_ID, UNKNOWN), ("rejected", NOT_UTF8)])
        wait_until(lambda: read(env, "result"), 60)  # its transaction changes no total
        send(env, blobs[:400])
        await_rows(database, copier, 1 + 400)
        database.run("".join(code("sql")))
        check_copied(env, database, copier, [UNKNOWN, *blobs[:400]])

        # Connect has now committed its offsets; it is killed before it commits them again.
        wait_until(lambda: committed(env, list(ends(env))) == ends(env), COPIED_S_MAX, every=0.05)
        send(env, blobs[400:1_000])
        abort_a_result(env)
        await_rows(database, copier, 1 + 401)
        copier.kill()
        send(env, blobs[1_000:1_200])
        copier.start()
        send(env, blobs[1_200:])
        await_rows(database, copier, 1 + len(blobs))
        check_copied(env, database, copier, [UNKNOWN, *blobs])
        assert database.rows("SELECT encode(value, 'hex') AS value, reason FROM dead_letters") == [
            {"value": NOT_UTF8.hex(), "reason": "undecodable"}
        ]
        assert worker.is_running


def code(language: str) -> list[str]:
    """Return the code blocks of the page in a language."""
    every = blocks(PAGE.read_text(encoding="utf-8"))
    return [block.code for block in every if block.language == language]


def send(env: dict[str, str], blobs: Sequence[str]) -> None:
    produce(env, [(f"b{number}", text) for number, text in enumerate(blobs)])


def abort_a_result(env: dict[str, str]) -> None:
    producer = Producer({"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "transactional.id": "other"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(env["STREAM_RESULT_TOPIC"], ABORTED, partition=0)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


def committed(env: dict[str, str], numbers: Sequence[int]) -> dict[int, int]:
    """Return partition -> offset that the connector of the results has committed."""
    options = {"bootstrap.servers": env["STREAM_BOOTSTRAP_SERVERS"], "group.id": "connect-anagram-results"}
    consumer = Consumer(options)
    partitions = [TopicPartition(env["STREAM_RESULT_TOPIC"], number) for number in numbers]
    try:
        return {each.partition: each.offset for each in consumer.committed(partitions, 30)}
    finally:
        consumer.close()


def ends(env: dict[str, str]) -> dict[int, int]:
    """Return partition -> the offset after its last result."""
    return {record.partition: record.offset + 1 for record in read(env, "result")}


def await_rows(database: Postgres, copier: Connect, count: int) -> None:
    def copied() -> bool:
        copier.check()
        tables = database.has_table("anagram_results") and database.has_table("signature_counts")
        return tables and int(database.run("SELECT count(*) FROM anagram_results")) >= count

    wait_until(copied, COPIED_S_MAX, every=0.05)


def check_copied(env: dict[str, str], database: Postgres, copier: Connect, blobs: Sequence[str]) -> None:
    """Check that the tables equal the topic, and the views an independent count."""
    results = {(record.partition, record.offset): record.value for record in read(env, "result")}
    rows = database.rows(
        "SELECT __connect_partition AS partition, __connect_offset AS offset, result FROM anagram_results"
    )
    assert {(row["partition"], row["offset"]): row["result"].encode() for row in rows} == results
    assert len(rows) == len(results) == len(blobs)
    sources = database.rows("SELECT DISTINCT source_partition, source_offset FROM results")
    assert len(sources) == len(blobs)

    expected = plain_totals(blobs, DICTIONARY)

    def totals_copied() -> bool:
        copier.check()
        totals = database.rows("SELECT signature, total FROM totals")
        return {row["signature"]: row["total"] for row in totals} == expected

    wait_until(totals_copied, COPIED_S_MAX)
    own_keys = "SELECT count(*) FROM signature_counts WHERE get_byte(signature, 0) = 0"
    assert int(database.run(own_keys)) >= 1
