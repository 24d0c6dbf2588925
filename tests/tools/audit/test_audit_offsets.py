from stream.config import Settings
from stream.core.processed_offset import ProcessedOffset
from stream.tools.audit.offsets import offset_differences, truncated_logs
from stream.tools.audit.snapshot import AuditSnapshot

SETTINGS = Settings(_env_file=None)


def snapshot(
    committed: int | None, log: tuple[int, int] = (0, 9), results: tuple[int, int] = (0, 9)
) -> AuditSnapshot:
    return AuditSnapshot({0: committed}, {0: committed or 0}, {0: log}, {0: results}, {}, {0: (0, 9)})


def differences(committed: int | None, processed: ProcessedOffset | None, end: int = 9) -> str:
    return " ".join(offset_differences(snapshot(committed, (0, end)), 0, processed, "id"))


def test_matching_offsets_are_not_a_difference() -> None:
    assert differences(None, None) == ""
    assert differences(5, None) == ""
    assert differences(5, ProcessedOffset(5, "d", "id")) == ""
    assert differences(5, ProcessedOffset(3, "d")) == "", "an earlier version: two records changed no total"
    assert differences(9, ProcessedOffset(9, "d", "id")) == ""


def test_totals_beyond_the_committed_offset_are_a_difference() -> None:
    assert "cover the input before offset 5, but the committed offset is 2" in differences(
        2, ProcessedOffset(5, "d")
    )
    assert "the committed offset is 0" in differences(None, ProcessedOffset(5, "d", "id"))


def test_totals_of_another_input_topic_are_a_difference() -> None:
    assert "the topic was deleted and created again" in differences(5, ProcessedOffset(5, "d", "other"))


def test_committed_offset_beyond_the_end_of_the_input_is_a_difference() -> None:
    assert "the committed offset 5 is beyond the end of the input, 3" in differences(5, None, end=3)


def test_compared_input_ends_at_the_committed_offset_and_within_the_log() -> None:
    assert snapshot(5).input == {0: (0, 5)}
    assert snapshot(5, (0, 3)).input == {0: (0, 3)}
    assert snapshot(5, (7, 9)).input == {0: (7, 7)}
    assert snapshot(None, (7, 9)).input == {0: (7, 7)}


def test_deletion_by_retention_is_reported() -> None:
    assert list(truncated_logs(SETTINGS, snapshot(5))) == []
    said = list(truncated_logs(SETTINGS, snapshot(5, log=(7, 9), results=(3, 9))))
    assert [sentence.partition(" (")[0] for sentence in said] == [
        f"{SETTINGS.input_topic}, partition 0, starts at 7",
        f"{SETTINGS.input_topic}, partition 0, starts at 7",
        f"{SETTINGS.result_topic}, partition 0, starts at 3",
    ]
    assert "from the committed offset 5 on was deleted before it was counted" in said[1]
