"""`anagram-stream serve` on a real broker: responses equal an independent count, even across kills."""

import asyncio
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from support.environment import own_env
from support.process import WorkerProcess
from support.serve_process import ServeProcess
from support.topics import admin_of, make_topics, plain_totals, produce, read, settings_of, wait_until
from test_refusals import run

from stream.broker.embedded import EmbeddedBroker
from stream.client import Answered, AsyncClient, Client, NoOutcome, Outcome, Position, TextRejected
from stream.dictionary import load_index
from stream.kafka.clients import make_producer, producer_options

pytestmark = pytest.mark.broker
BLOBS, BAD_EVERY = 8_000, 50
WORDS = ("listen", "silent", "tinsel", "granite", "cat", "act", "stop", "post", "zqx")


@pytest.fixture
def env(stream_env: dict[str, str]) -> dict[str, str]:
    return {**stream_env, "STREAM_SERVE_SUBMIT": "true"}


def texts() -> list[bytes]:
    """Return texts, some of which are not UTF-8."""
    rng = random.Random(18)
    made = [" ".join(rng.choices(WORDS, k=5)).encode() for _ in range(BLOBS)]
    return [b"\xff" if number % BAD_EVERY == 0 else text for number, text in enumerate(made)]


class Following(threading.Thread):
    """Follows outcomes until it is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.seen: list[Outcome] = []
        self._client = Client(url)
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            for outcome in self._client.follow():
                self.seen.append(outcome)
        except (Answered, RuntimeError, httpx2.HTTPError):
            if not self._stopped.is_set():
                raise

    def stop(self) -> None:
        """Close the client: it would connect again for ever, in the end to a server of another test."""
        self._stopped.set()
        self._client.close()


def test_responses_equal_an_independent_count_after_kills_and_replicas_agree(
    env: dict[str, str], tmp_path: Path
) -> None:
    """The server is killed twice midway; a reader of its events sees each outcome once."""
    sent = texts()
    second = {**env, "STREAM_STATE_DIR": str(tmp_path / "second")}
    with (
        ServeProcess(env, tmp_path / "serve.log") as serve,
        ServeProcess(second, tmp_path / "second.log") as replica,
        WorkerProcess(env, tmp_path / "worker.log"),
    ):
        url = serve.wait_serving()
        replica.wait_serving()
        following = Following(url)
        following.start()
        wait_until(lambda: serve.get("/v1/status")["group"], 60)
        for number in range(4):
            part = range(number * BLOBS // 4, (number + 1) * BLOBS // 4)
            produce(env, [(b"blob-%d" % n, sent[n]) for n in part])
            if number in {1, 2}:
                serve.kill()
                serve.command = (*serve.command[:-1], url.rpartition(":")[2])
                serve.start()
                serve.wait_serving(number + 1)
        wait_until(lambda: len(following.seen) >= BLOBS, 120)
        for each in (serve, replica):
            each.wait_current(120)
        following.stop()
        expected = plain_totals([text.decode() for text in sent if text != b"\xff"], WORDS)
        index = load_index(None)
        known = {key: total for key, total in expected.items() if key in index.anagrams}
        for each in (serve, replica):
            top = {entry["signature"]: entry["total"] for entry in each.get("/v1/top?limit=1000")["top"]}
            assert top == known
            status = each.get("/v1/status")
            bad = BLOBS // BAD_EVERY
            assert status["dead_letters"] == [{"reason": "undecodable", "number": bad}]
            assert status["results"] == BLOBS - bad
            assert not status["dictionary_differs"]
            for n in (0, 1, 77, BAD_EVERY, BLOBS - 1):
                outcome = each.get(f"/v1/blobs/blob-{n}")
                assert outcome["outcome"] == ("dead-letter" if n % BAD_EVERY == 0 else "result")
    positions = Counter(outcome.input for outcome in following.seen[:BLOBS])
    assert set(positions.values()) == {1}
    assert len(positions) == BLOBS


def test_client_submits_waits_queries_and_follows(env: dict[str, str], tmp_path: Path) -> None:
    with ServeProcess(env, tmp_path / "serve.log") as serve, WorkerProcess(env, tmp_path / "worker.log"):
        url = serve.wait_serving()
        with Client(url) as client:
            position = client.submit("Listen, silent cat", "42")
            result = client.result(position, timeout_s=60)
            assert result.blob_id == "42"
            assert result.anagram_counts["tinsel"] == 2
            assert result.anagram_counts["act"] == 1
            wait_until(lambda: client.total("tinsel") == 2, 20)
            assert client.top(1) == [("eilnst", 2)]
            with pytest.raises(Answered, match="instead of one"):
                client.total("two words")
        asyncio.run(_with_coroutines(url))
        answer = serve.get("/v1/blobs/42")
        assert answer["result"]["source"] == {"topic": env["STREAM_INPUT_TOPIC"], **position._asdict()}
        assert answer["freshness"]["age_ms"] < 5_000


async def _with_coroutines(url: str) -> None:
    async with AsyncClient(url) as client:
        outcomes = client.follow()
        following = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(0.5)
        position = await client.submit("granite")
        assert (await client.result(position, timeout_s=60)).words == 1
        assert (await asyncio.wait_for(following, 30)).input == position
        await outcomes.aclose()


def test_text_has_no_outcome_until_a_worker_runs(env: dict[str, str], tmp_path: Path) -> None:
    with ServeProcess(env, tmp_path / "serve.log") as serve, Client(serve.wait_serving()) as client:
        position = client.submit("cat")
        with pytest.raises(NoOutcome, match=f"at {position.partition}:{position.offset} within 1 s"):
            client.result(position, timeout_s=1)
        produce(env, [(None, b"\xff")], partition=0)
        with WorkerProcess(env, tmp_path / "worker.log"):
            assert client.result(position, timeout_s=60).words == 1
            bad = Position(0, 1 if position.partition == 0 else 0)
            with pytest.raises(TextRejected, match="undecodable"):
                client.result(bad, timeout_s=60)


def test_text_that_is_too_long_is_refused_before_it_is_sent(env: dict[str, str], tmp_path: Path) -> None:
    with ServeProcess({**env, "STREAM_TEXT_BYTES_MAX": "10"}, tmp_path / "serve.log") as serve:
        with (
            Client(serve.wait_serving()) as client,
            pytest.raises(Answered, match="the limit is 10") as caught,
        ):
            client.submit("x" * 11)
        assert caught.value.status == 413
        assert read(env, "input") == []


def test_server_exits_when_a_topic_is_created_again_and_then_starts_over(
    env: dict[str, str], tmp_path: Path
) -> None:
    """Totals of the former topic must not be mixed with those of the new one."""
    write_counts(env, {"act": 5})
    with ServeProcess(env, tmp_path / "serve.log") as serve:
        serve.wait_serving()
        wait_until(lambda: serve.get("/v1/words/cat")["total"] == 5, 30)
        admin = admin_of(env)
        admin.delete_topics([env["STREAM_COUNT_TOPIC"]])[env["STREAM_COUNT_TOPIC"]].result(30)
        wait_until(lambda: env["STREAM_COUNT_TOPIC"] not in admin.list_topics(timeout=10).topics, 30)
        wait_until(lambda: make_topics(env, partitions=2), 30)
        assert serve.wait(60) == 1
        assert "was deleted" in serve.log.read_text()
        write_counts(env, {"act": 2})
        serve.start()
        serve.wait_serving(2)
        assert serve.events("the view starts over")
        wait_until(lambda: serve.get("/v1/words/cat")["total"] == 2, 30)


def write_counts(env: dict[str, str], totals: dict[str, int]) -> None:
    producer = make_producer(producer_options(settings_of(env)))
    for signature, total in totals.items():
        producer.produce(env["STREAM_COUNT_TOPIC"], b"%d" % total, signature.encode(), partition=0)
    assert producer.flush(30) == 0


def test_new_partitions_are_read_too(env: dict[str, str], tmp_path: Path) -> None:
    with ServeProcess(env, tmp_path / "serve.log") as serve:
        serve.wait_serving()
        make_topics(env, partitions=3)
        producer = make_producer(producer_options(settings_of(env)))
        producer.produce(env["STREAM_COUNT_TOPIC"], b"7", b"act", partition=2)
        assert producer.flush(30) == 0
        wait_until(lambda: serve.get("/v1/words/cat")["total"] == 7, 30)


@pytest.mark.embedded
def test_responses_stay_available_and_age_while_the_broker_is_unavailable(tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=tmp_path / "kafka") as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        write_counts(env, {"act": 5})
        with ServeProcess(env, tmp_path / "serve.log") as serve:
            serve.wait_serving()
            wait_until(lambda: serve.get("/v1/words/cat")["total"] == 5, 30)
            broker.kill()
            wait_until(lambda: serve.get("/v1/words/cat")["freshness"]["age_ms"] > 3_000, 30)
            assert serve.get("/v1/words/cat")["total"] == 5
            broker.start()
            write_counts(env, {"act": 6})
            wait_until(lambda: serve.get("/v1/words/cat")["total"] == 6, 60)
            wait_until(lambda: serve.get("/v1/words/cat")["freshness"]["age_ms"] < 1_000, 60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_server_cleanly_even_with_readers(
    env: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with ServeProcess(env, tmp_path / "serve.log") as serve:
        following = Following(serve.wait_serving())
        following.start()
        serve.signal(number)
        assert serve.wait(15) == 0
        following.stop()
        assert "Traceback" not in serve.log.read_text()


def test_each_startup_problem_is_one_clear_error(
    bare_env: dict[str, str], stream_env: dict[str, str], tmp_path: Path
) -> None:
    missing = run(bare_env, "serve", "--port", "0")
    assert missing.returncode == 1
    assert "topics create" in missing.stderr
    with ServeProcess(stream_env, tmp_path / "serve.log") as serve:
        port = serve.wait_serving().rpartition(":")[2]
        taken = run({**stream_env, "STREAM_STATE_DIR": str(tmp_path / "other")}, "serve", "--port", port)
        assert taken.returncode == 2
        assert "STREAM_SERVE_PORT" in taken.stderr
        same = run(stream_env, "serve", "--port", "0")
        assert same.returncode == 1
        assert "STREAM_STATE_DIR" in same.stderr
