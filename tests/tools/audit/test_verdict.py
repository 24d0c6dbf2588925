from stream.tools.audit.verdict import PartitionReport, Verdict


def lost(verdict: Verdict, *offsets: int, partition: int = 0, previous: int | None = None) -> Verdict:
    for offset in offsets:
        verdict.add_input_difference("lost", partition, offset, "no outcome", previous=previous)
    return verdict


def test_differences_of_consecutive_input_are_one_line() -> None:
    verdict = lost(Verdict(), *range(17, 417), partition=2)
    assert verdict.differences == ["partition 2: input 17 to 416 (400 records): no outcome"]
    assert (verdict.lost, verdict.undescribed) == (400, 0)


def test_ranges_of_other_partitions_and_kinds_do_not_interrupt_a_range() -> None:
    verdict = Verdict()
    for offset in range(3):
        lost(verdict, offset)
        lost(verdict, offset, partition=1)
        verdict.add_input_difference("wrong", 0, offset, "another text")
    assert len(verdict.differences) == 3


def test_offsets_without_a_record_do_not_interrupt_a_range() -> None:
    assert len(lost(lost(Verdict(), 3), 9, previous=3).differences) == 1
    assert len(lost(lost(Verdict(), 3), 9, previous=8).differences) == 2


def test_limit_bounds_the_lines_and_ranges_still_grow() -> None:
    verdict = lost(Verdict(differences_max=2), 0, 5, 10, 11, 6)
    assert verdict.differences == [
        "partition 0: input 0: no outcome",
        "partition 0: input 5 to 6 (2 records): no outcome",
    ]
    assert (verdict.different, verdict.undescribed) == (5, 2)
    assert lost(Verdict(differences_max=0), 1).differences == []


def test_skipped_ranges_are_not_differences_and_use_none_of_their_lines() -> None:
    verdict = Verdict(differences_max=1)
    for offset in range(4, 8):
        verdict.add_skipped(0, offset, offset - 1)
    assert verdict.holds
    assert lost(verdict, 9).differences == ["partition 0: input 9: no outcome"]
    assert verdict.skipped_ranges == ["partition 0: input 4 to 7 (4 records): skipped deliberately"]
    assert verdict.skipped == 4


def test_next_round_drops_only_what_it_finds_again() -> None:
    verdict = lost(Verdict(), 1)
    verdict.add_difference("totals", "a total differs")
    verdict.unchecked.append("a store")
    verdict.start_round()
    assert (verdict.different, verdict.undescribed, verdict.unchecked) == (1, 0, [])
    assert verdict.differences == ["partition 0: input 1: no outcome"]


def test_zero_differences_have_no_line() -> None:
    verdict = Verdict()
    verdict.add_difference("unknown", "nothing", 0)
    assert verdict.differences == []


def test_json_has_the_fields_of_earlier_versions_and_the_partitions() -> None:
    verdict = lost(Verdict(), 7)
    verdict.partitions[1] = PartitionReport(1, committed=9, records=8, pending=3, totals=2)
    report = verdict.as_json()
    earlier = (
        *(
            "records",
            "words",
            "results",
            "dead_letters",
            "lost",
            "duplicated",
            "unknown",
            "wrong",
            "misplaced",
        ),
        *("totals", "stores", "differences", "unchecked"),
    )
    assert next(iter(report)) == "holds"
    assert set(earlier) < set(report)
    assert (report["records"], report["pending"], report["stores_found"]) == (8, 3, None)
    assert report["differences"] == ["partition 0: input 7: no outcome"]
    assert report["partitions"][0] == {
        "partition": 1,
        "committed": 9,
        "records": 8,
        "checked": 0,
        "results": 0,
        "dead_letters": 0,
        "pending": 3,
        "skipped": 0,
        "not_checked": 0,
        "other_settings": 0,
        "totals": 2,
        "stores_found": None,
        "stores_compared": 0,
    }
