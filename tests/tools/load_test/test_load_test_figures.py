import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stream.cli import bench_view
from stream.tools.load_test.figures import (
    LatencyAtDelay,
    LatencyAtRate,
    Recovery,
    RecoveryTimes,
    Report,
    Throughput,
)
from stream.tools.load_test.latency import summarize
from stream.tools.load_test.output_check import OutputCheck
from stream.tools.load_test.plot import draw
from stream.tools.load_test.report_json import as_json

RIGHT = OutputCheck(50, 50, totals=0)
ROW = Throughput(100, 4, 1_000, 1, 50, 5_000, 1.0, 3.0, 2_400.0, 6.0, 1_100.0, 99.0, RIGHT)
LOAD = LatencyAtRate(
    500, 499.9, 20, 10_000, 5_000, 0, summarize(range(10**6, 10**8, 10**6)), 1.0, 2.0, 6.0, 0.1, 0.25, 120.0
)
CONDITIONS = {"cpus": 2, "workers": 1, "worker_arguments": ["-x"], "seed": 1, "dictionary_words": 1_000}


def report() -> Report:
    short = replace(ROW, words_per_blob=5, steady_words_per_s=None, steady_cpu_s_per_million_words=None)
    no_results = replace(LOAD, rate=9_000, latency=None, missing=7, cpu_cores=None, peak_mib=None)
    overloaded = replace(
        LOAD, rate=8_000, words_per_s=160_000, drain_s=9.0, late_p99_ms=33.0, taken_p99_ms=400
    )
    idle = replace(LOAD, rate=1.0)
    delayed = replace(idle, latency=summarize(range(10**8 + 10**6, 2 * 10**8, 10**6)))
    times = RecoveryTimes(1.5, 1.75, 2.0, 1_900.0)
    return Report(
        dict(CONDITIONS),
        [short, ROW, replace(ROW, words_per_blob=200, words=10_000)],
        [LOAD, overloaded, no_results],
        OutputCheck(5_000, 5_000),
        [LatencyAtDelay(0, idle), LatencyAtDelay(5, no_results), LatencyAtDelay(20, delayed)],
        OutputCheck(20, 20),
        [
            Recovery(
                500, "classic", static=True, session_s=45.0, times=times, checked=OutputCheck(9, 9, totals=0)
            )
        ],
        {"words_per_blob": [short, ROW], "partitions": [ROW], "dictionary_words": [ROW]},
    )


def test_rates_are_words_divided_by_time() -> None:
    assert ROW.whole_words_per_s == pytest.approx(5_000 / 3)
    assert ROW.whole_cpu_s_per_million_words == pytest.approx(1_200)
    assert (ROW.words_per_s, ROW.cpu_s_per_million_words) == (2_400, 1_100)
    short = replace(ROW, steady_words_per_s=None, steady_cpu_s_per_million_words=None)
    assert short.words_per_s == short.whole_words_per_s
    assert short.cpu_s_per_million_words == short.whole_cpu_s_per_million_words


def test_report_holds_only_if_all_output_is_right() -> None:
    assert report().holds
    for wrong in (
        OutputCheck(1, missing=1), OutputCheck(1, duplicated=1), OutputCheck(1, wrong=1),
        OutputCheck(1, dead_letters=1), OutputCheck(1, totals=1),
    ):  # fmt: skip
        broken = report()
        broken.scale["partitions"] = [replace(ROW, checked=wrong)]
        assert not broken.holds
        broken = report()
        broken.latency_checked = wrong
        assert not broken.holds


def test_report_is_json_with_every_figure() -> None:
    output = json.loads(json.dumps(as_json(report())))
    assert output["holds"] is True
    assert output["throughput"][1]["whole_words_per_s"] == pytest.approx(5_000 / 3)
    assert output["latency"][0]["latency"]["p99_9_ms"] == pytest.approx(99, rel=0.002)
    assert [row["is_saturated"] for row in output["latency"]] == [False, True, True]
    assert [row["generator_is_late"] for row in output["latency"]] == [False, True, False]
    assert output["recovery"][0]["first_new_s"] == 1.5
    assert output["recovery"][0]["session_s"] == 45
    assert output["recovery"][0]["checked"]["holds"] is True
    assert output["delays"][0]["delay_ms"] == 0
    assert output["round_trips"] == pytest.approx(5.0)
    assert output["costs"]["cpu"]["word_us"] > 0
    assert set(output["scale"]) == {"words_per_blob", "partitions", "dictionary_words"}


def test_tables_contain_figures_and_remarks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_view, "tables", lambda: Console(width=400))
    bench_view.show_report(report())
    shown = capsys.readouterr().out
    assert "session" in shown  # the group waits that long for a killed member
    assert "the generator was 33.0 ms late at p99; the latency includes this" in shown
    assert "above capacity: last result 9.0 s after the last blob was due" in shown
    assert "the broker took 400 ms at p99 to acknowledge a blob" in shown
    assert "7 results missing" in shown
    assert "classic, static" in shown
    assert "Each blob waits for 5.0 consecutive broker responses" in shown
    assert " µs per record and " in shown
    assert "cost per word by words in the dictionary" in shown
    assert "correct: 5,079 blobs" in shown  # a row in several tables counts once
    broken = report()
    broken.throughput[0].checked.duplicated = 1
    broken.throughput[0].checked.differ("blob 3 has a second result [x]")
    bench_view.show_report(broken)
    assert "blob 3 has a second result [x]" in capsys.readouterr().out


@pytest.mark.parametrize("empty", [False, True])
def test_report_is_drawn(tmp_path: Path, *, empty: bool) -> None:
    draw(Report(dict(CONDITIONS)) if empty else report(), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
