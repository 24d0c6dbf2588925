"""The output check of a load test, on topics that the test fills itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from support.results import Results

from stream.config import load_settings
from stream.core.dictionary import build_index
from stream.tools.load_test.environment import LoadTestEnvironment
from stream.tools.load_test.expected_output import ExpectedOutput
from stream.tools.load_test.output_check import OutputCheck, OutputChecker
from stream.tools.load_test.texts import Recipe, make_texts, synthesize

pytestmark = pytest.mark.broker

DICTIONARY = synthesize(300, 1)
INDEX = build_index(DICTIONARY)
RESULTS = Results(INDEX)
RECIPE = Recipe(10, 3, 0, 1)
TEXTS = make_texts(DICTIONARY, RECIPE)
BLOBS = 4
KINDS = ("missing", "duplicated", "wrong", "dead_letters", "totals")

Record = tuple[str, int, bytes, bytes]
"""Topic, partition, key, value."""
Sent = list[Record]
Check = Callable[[Sent], OutputCheck]


def result(number: int, text: str, partition: int, source: int | None = None) -> Record:
    made = RESULTS.make(number, text, partition if source is None else source)
    return "result_topic", partition, made.key or b"", made.value or b""


def right() -> Sent:
    results = [result(number, TEXTS[number % 3], number % 2) for number in range(BLOBS)]
    totals = ExpectedOutput(INDEX, RECIPE).totals(BLOBS)
    counts = [("count_topic", 0, key.encode(), b"%d" % total) for key, total in totals.items()]
    return results + counts


@pytest.fixture
def check(stream_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    for name, value in stream_env.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()

    def run(sent: Sent) -> OutputCheck:
        from stream.kafka.clients import make_admin  # noqa: PLC0415

        producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
        for topic, partition, key, value in sent:
            producer.produce(getattr(settings, topic), value, key, partition)
        assert producer.flush(30) == 0
        environment = LoadTestEnvironment(settings, 2, tmp_path, make_admin(settings), own=True, prefix="b")
        return OutputChecker(environment, ExpectedOutput(INDEX, RECIPE), BLOBS).run(
            lambda _: None, below={0: 1, 1: 0}
        )

    return run


def test_right_output_passes_and_words_below_offsets_are_counted(check: Check) -> None:
    outcome = check(right())
    assert outcome.holds
    assert (outcome.results, outcome.totals) == (BLOBS, 0)
    assert outcome.words == ExpectedOutput(INDEX, RECIPE).words_of(0)


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (lambda sent: sent[1:], "missing", "blobs without a result: 1, the first is blob 0"),
        (lambda sent: [sent[0], *sent], "duplicated", "blob 0 has a second result"),
        (lambda sent: [result(0, TEXTS[1], 0), *sent[1:]], "wrong", "blob 0 differs from the definition"),
        (lambda sent: [result(0, TEXTS[0], 0, 1), *sent[1:]], "wrong", "blob 0 differs from the definition"),
        (lambda sent: [*sent, result(9, TEXTS[0], 0)], "wrong", "a result names blob 9, which was not sent"),
        (lambda sent: sent[:-1], "totals", "the blobs sum to"),
        (lambda sent: [*sent, ("count_topic", 1, sent[-1][2], b"1")], "totals", "the blobs sum to"),
        (lambda sent: [*sent, ("dead_letter_topic", 0, b"b0", b"x")], "dead_letters", "a blob was rejected"),
    ],
    ids=["lost", "twice", "other counts", "other partition", "unknown", "no total", "more total", "rejected"],
)  # fmt: skip
def test_every_kind_of_wrong_output_is_detected(
    change: Callable[[Sent], Sent], kind: str, sentence: str, check: Check
) -> None:
    outcome = check(change(right()))
    assert not outcome.holds
    assert {name for name in KINDS if getattr(outcome, name)} == {kind}
    assert sentence in "\n".join(outcome.sentences)
