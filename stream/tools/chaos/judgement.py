"""Judges a campaign: reads all outputs again, runs `verify`, and checks what the workers logged."""

from collections.abc import Sequence
from pathlib import Path

from stream.config import Settings
from stream.core.dictionary import AnagramIndex
from stream.tools.audit.verify import verify
from stream.tools.chaos.outcome_reader import SeenOutcomes, count_written_records, read_final_outcomes
from stream.tools.chaos.score import Score


def judge_outputs(
    score: Score, settings: Settings, index: AnagramIndex, seen: SeenOutcomes, state_dirs: Sequence[Path]
) -> None:
    """Compare what the concurrent reader saw with the content of the topics, and audit them."""
    final = read_final_outcomes(settings)
    score.aborted_seen = seen.missing_in(final)
    score.disordered = seen.disordered + final.disordered
    score.records_aborted = count_written_records(settings) - final.outcomes
    verdict = verify(settings, index, state_dirs=state_dirs)
    score.unseen = verdict.records - seen.outcomes - verdict.skipped
    if score.accident is not None:
        score.accident.skipped = verdict.skipped
    score.lost, score.duplicated = verdict.lost, verdict.duplicated
    score.torn = verdict.totals + verdict.stores
    score.mismatched = verdict.wrong + verdict.unknown + verdict.misplaced
    for sentence in verdict.differences:
        score.differ(sentence)
    score.unchecked = verdict.unchecked
    score.input_duplicates = max(0, verdict.records - score.blobs)
    if verdict.records < score.blobs:
        score.differ(f"blobs sent: {score.blobs}, records in the input topic: {verdict.records}")


def judge_logs(score: Score, tracebacks: Sequence[str]) -> None:
    """Check that there was no traceback, and that a restore read at most one transaction."""
    for line in tracebacks:
        score.differ(f"traceback: {line}")
    most = score.restored_max(same=True)
    if most > score.transaction_records_max:
        score.differ(
            f"the store that last owned a partition restored {most} records, but a transaction has at "
            f"most {score.transaction_records_max}"
        )
