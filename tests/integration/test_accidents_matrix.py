"""Topics, logs and offsets that others change: the worker refuses to continue, or stays exact.

One test for each combination of accident, topic, state of the worker and group protocol. A refusal is
permanent: the next worker refuses too, with and without its state folder.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from support import kafka_log
from support.accidents import (
    GroupUnderTest,
    Replaced,
    alter_offsets,
    commit_by_member,
    commit_by_stranger,
    delete_offsets,
    recreate,
    refill,
    truncate,
    worker_in,
)
from support.environment import SHORT_SESSIONS, SOON_ABORTED
from support.load import DICTIONARY
from support.topics import read

from stream.broker.embedded import EmbeddedBroker

pytestmark = [pytest.mark.broker, pytest.mark.embedded]

RECREATED = """
  + input       recreated           stopped    classic
    input       recreated           running    consumer
    input       recreated           suspended  classic
  + input       recreated           reading    consumer
    input       recreated-refilled  stopped    consumer
    input       recreated-refilled  running    classic
  + input       recreated-refilled  suspended  consumer
    input       recreated-refilled  reading    classic
    input       recreated-refilled  reading    consumer
    result      recreated           stopped    consumer
  + result      recreated           running    classic
    result      recreated           reading    consumer
  + result      recreated-refilled  suspended  consumer
    result      recreated-refilled  running    consumer
  + count       recreated           stopped    classic
    count       recreated           running    consumer
    count       recreated           suspended  classic
    count       recreated           reading    classic
    count       recreated-refilled  stopped    consumer
    count       recreated-refilled  running    classic
  + count       recreated-refilled  suspended  consumer
    dead-letter recreated           stopped    classic
  + dead-letter recreated           running    consumer
    dead-letter recreated-refilled  suspended  classic
"""
TRUNCATED = """
  + input       truncated           stopped    consumer
    input       truncated           running    classic
    input       truncated           suspended  consumer
    input       truncated-regrown   stopped    classic
  + input       truncated-regrown   running    consumer
    input       truncated-regrown   suspended  classic
    result      truncated           stopped    classic
  + result      truncated           running    consumer
    result      truncated-within    suspended  consumer
    result      truncated-within    stopped    consumer
  + result      truncated-regrown   stopped    consumer
    count       truncated           stopped    consumer
  + count       truncated           running    classic
    count       truncated           suspended  consumer
  + count       truncated-within    stopped    classic
    count       truncated-within    running    consumer
    count       truncated-regrown   suspended  classic
    dead-letter truncated           stopped    classic
  + dead-letter truncated           suspended  consumer
    dead-letter truncated-within    running    classic
    dead-letter truncated-regrown   stopped    classic
"""
MOVED = """
  + offsets     ahead               stopped    classic
  + offsets     ahead               running    consumer
    offsets     ahead               running    classic
    offsets     ahead               suspended  consumer
    offsets     back                stopped    consumer
    offsets     back                running    classic
  + offsets     back                suspended  classic
    offsets     deleted             stopped    classic
  + offsets     deleted             suspended  consumer
"""


class Combination(NamedTuple):
    role: str
    accident: str
    state: str
    protocol: str


def combinations(table: str) -> pytest.MarkDecorator:
    """Use the rows with a `+`, or all rows if STREAM_TEST_ACCIDENTS=all (about 15 minutes)."""
    every = os.environ.get("STREAM_TEST_ACCIDENTS") == "all"
    lines = [line.split() for line in table.strip().splitlines()]
    rows = [Combination(*line[-4:]) for line in lines if every or line[0] == "+"]
    return pytest.mark.parametrize("case", rows, ids=map("-".join, rows))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that is never stopped."""
    with EmbeddedBroker(
        data_dir=tmp_path_factory.mktemp("broker"), properties=SHORT_SESSIONS | SOON_ABORTED
    ) as running:
        yield running


@pytest.fixture(scope="module")
def stopped_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that is stopped and started."""
    with EmbeddedBroker(data_dir=tmp_path_factory.mktemp("broker"), properties=SHORT_SESSIONS) as running:
        yield running


def check(
    group: GroupUnderTest, replaced: Replaced | None = None, partitions: Sequence[int] | None = None
) -> None:
    """If the worker refused, check that it did nothing before, and that its successors refuse too.

    `partitions` are those that the accident affected, by default all.
    """
    refusal = group.outcome()
    if refusal is None:
        return
    if replaced is not None:
        group.check_nothing_new(replaced)
    if replaced is None or replaced.role == "count":
        group.check_contiguous()
    group.check_refused_again(partitions)


def refill_beyond(group: GroupUnderTest, replaced: Replaced, ends: dict[int, int]) -> Replaced:
    """Produce uncounted blobs until a replaced input has more records than before."""
    missing = max(ends.values()) - replaced.offset
    partitions = group.partitions if replaced.partition is None else [replaced.partition]
    group.send(["cat", "listen"] * (missing // 2 + 2), partitions)
    return replaced


@combinations(RECREATED)
def test_recreated_topic(broker: EmbeddedBroker, tmp_path: Path, case: Combination) -> None:
    with GroupUnderTest(broker, tmp_path, case.protocol) as group:
        group.count_some()
        with worker_in(group, case.state):
            ends = group.ends(case.role)
            former = [] if case.role == "input" else read(group.env, case.role)
            replaced = recreate(group, case.role)
            if case.accident == "recreated-refilled":
                is_input = case.role == "input"
                replaced = (
                    refill_beyond(group, replaced, ends) if is_input else refill(group, replaced, former)
                )
        check(group, replaced)


def count_much_at_once(group: GroupUnderTest) -> None:
    """Count a backlog whose transactions write several batches to each output topic."""
    group.stop()
    words = [" ".join(DICTIONARY[start::60]) for start in range(60)]
    group.send([*words, *(b"\xff", "cat") * 3_000], [0])
    group.worker.start()
    group.wait_until_counted()


@combinations(TRUNCATED)
def test_truncated_log(stopped_broker: EmbeddedBroker, tmp_path: Path, case: Combination) -> None:
    is_input = case.role == "input"
    is_within = case.accident == "truncated-within"
    of_output = kafka_log.within_transaction if is_within else kafka_log.without_last_transaction
    with GroupUnderTest(stopped_broker, tmp_path, case.protocol) as group:
        group.count_some()
        if is_within:
            count_much_at_once(group)
        with worker_in(group, case.state, busy=not is_input):
            former = read(group.env, case.role)
            ends = group.ends(case.role)
            replaced = truncate(group, case.role, kafka_log.first_half if is_input else of_output)
            if case.accident == "truncated-regrown":
                replaced = (
                    refill_beyond(group, replaced, ends) if is_input else refill(group, replaced, former)
                )
                assert group.ends(case.role)[0] > ends[0]
        check(group, replaced, [0])


@combinations(MOVED)
def test_moved_offsets(broker: EmbeddedBroker, tmp_path: Path, case: Combination) -> None:
    is_ahead = case.accident == "ahead"
    with GroupUnderTest(broker, tmp_path, case.protocol) as group:
        group.count_some()
        with worker_in(group, case.state, busy=case.state == "running"):
            if case.state == "suspended":
                group.send()
            moved = group.ends("input") if is_ahead else dict.fromkeys(group.partitions, 0)
            if case.accident == "deleted":
                delete_offsets(group)
            elif case.state == "running":
                moved = dict.fromkeys(commit_by_member(group, ahead=is_ahead), 0)
            elif case.state == "stopped" and is_ahead:
                commit_by_stranger(group, moved)
            else:
                alter_offsets(group, moved)
        check(group, partitions=list(moved))
