"""Checks the offsets of a snapshot: whether logs, totals and committed offsets belong together. Pure."""

from collections.abc import Iterator

from stream.config import Settings
from stream.core.processed_offset import ProcessedOffset
from stream.tools.audit.snapshot import AuditSnapshot

_CREATED_AGAIN = "the topic was deleted and created again"


def truncated_logs(settings: Settings, snapshot: AuditSnapshot) -> Iterator[str]:
    """Yield sentences about input or outcomes that retention deleted, so that they cannot be checked."""
    for partition, (first, _) in snapshot.log.items():
        if first == 0:
            continue
        where = f"{settings.input_topic}, partition {partition}, starts at {first} (retention)"
        yield f"{where}: outcomes of earlier input and the totals of this partition cannot be checked"
        committed = snapshot.committed[partition]
        if committed is not None and committed < first:
            yield f"{where}: input from the committed offset {committed} on was deleted before it was counted"
    for topic, ranges in (
        (settings.result_topic, snapshot.results),
        (settings.dead_letter_topic, snapshot.dead_letters),
    ):
        for partition, (first, _) in ranges.items():
            if first > 0:
                yield (
                    f"{topic}, partition {partition}, starts at {first} (retention): earlier outcomes, and "
                    "totals that include them, cannot be checked"
                )


def offset_differences(
    snapshot: AuditSnapshot, partition: int, processed: ProcessedOffset | None, input_id: str
) -> Iterator[str]:
    """Yield sentences about offsets that contradict each other, which outcomes alone may not show.

    `processed` is None if the count topic has none; `input_id` is the id of the input topic.
    """
    where, committed = f"partition {partition}: ", snapshot.committed_later[partition]
    _, end = snapshot.log[partition]
    if committed > end:
        yield (
            f"{where}the committed offset {committed} is beyond the end of the input, {end}: its log was "
            f"truncated, or {_CREATED_AGAIN}"
        )
    if processed is None:
        return
    if processed.input_topic not in {None, input_id}:
        yield f"{where}the totals belong to another input topic, {processed.input_topic}: {_CREATED_AGAIN}"
    elif processed.input_offset > committed:
        yield (
            f"{where}the totals cover the input before offset {processed.input_offset}, but the committed "
            f"offset is {committed}: it was moved back or deleted, or it expired"
        )
