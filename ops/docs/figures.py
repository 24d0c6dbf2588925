"""Writes counted and measured figures between the markers of README.md and docs/.

python ops/docs/figures.py            writes them
python ops/docs/figures.py --check    exit status 1 if one differs

    <!-- count: alerts -->24<!-- /count -->                          counted in the repository
    <!-- figure: throughput ratio 100 2 -->25<!-- /figure -->        from docs/figures/throughput.json
    <!-- figures: throughput -->                                     a table from the same file
    <!-- /figures -->

A result file holds the command, the date, the machine, the versions and each run. Medians and ratios are
computed here.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/figures"
INLINE = re.compile(r"(<!-- (count|figure): ([^>]+?) -->)[^<]*(<!-- /\2 -->)")
TABLE = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
OURS, PEER = "anagram-stream", "Kafka Streams"

Run = Mapping[str, Any]


def counts() -> Mapping[str, int]:
    """Return what is counted in the repository."""
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "stream").rglob("*.py")]
    return {
        "modules": len(lines),
        "longest module": max(lines),
        "decisions": len(list((ROOT / "ops/decisions").glob("*.md"))),
        "alerts": sum(map(_alerts, (ROOT / "ops/prometheus/rules").glob("*.yml"))),
        "metrics": len(set(re.findall(r"^\| `(\w+)` \|", _text("docs/reference/metrics.md"), re.MULTILINE))),
        "broken rules": _broken_rules(_text("tests/simulation/test_mutations.py")),
    }


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _alerts(path: Path) -> int:
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return sum("alert" in rule for group in groups for rule in group["rules"])


def _broken_rules(source: str) -> int:
    """Return the number of entries of the two lists of mutations."""
    number = 0
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id.endswith("MUTATIONS") and isinstance(value, ast.List):
            number += len(value.elts)
    return number


@cache
def _result(name: str) -> Mapping[str, Any]:
    result: Mapping[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def _runs(name: str, **wanted: object) -> list[Run]:
    runs = [run for run in _result(name)["runs"] if all(run[key] == value for key, value in wanted.items())]
    assert runs, f"{name}: no run has {wanted}"
    return runs


def _median(runs: Iterable[Run], key: str) -> float:
    return float(median(run[key] for run in runs))


def _throughput(figure: str, words: str, processes: str) -> str:
    """Return a median of this software: `speed` in words/s, or a ratio to Kafka Streams."""
    ours = _runs("throughput", app=OURS, words=int(words), processes=int(processes))
    peer = _runs("throughput", app=PEER, words=int(words))
    match figure:
        case "speed":
            return f"{round(_median(ours, 'words_per_s'), -4):,.0f}"
        case "ratio":
            ratio = _median(ours, "words_per_s") / _median(peer, "words_per_s")
            return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"  # noqa: PLR2004 - two significant digits
        case "cpu":
            return f"1/{_median(peer, 'cpu_s_per_m') / _median(ours, 'cpu_s_per_m'):.1f}"
        case _:
            return f"1/{_median(peer, 'mib') / _median(ours, 'mib'):.1f}"


def _latency(figure: str, rate: str, app: str) -> str:
    return f"{_median(_runs('latency', rate=int(rate), app=app), figure):.0f}"


def _spread(runs: Iterable[Run], key: str, form: Callable[[float], str]) -> str:
    values = sorted(run[key] for run in runs)
    return f"{form(median(values))} ({form(values[0])} to {form(values[-1])})"


def _million(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f},000"  # noqa: PLR2004 - a million


def _throughput_table() -> str:
    head = (
        "| words per blob | | words/s, steady | CPU s per million words | memory (PSS), MiB "
        "| to Kafka Streams: speed, CPU, memory |"
    )
    rows = [head, "|---|---|---|---|---|---|"]
    groups = list(
        dict.fromkeys((run["words"], run["app"], run["processes"]) for run in _result("throughput")["runs"])
    )
    for words, app, processes in sorted(groups, key=lambda group: (group[0], group[1] != OURS, group[1:])):
        runs = _runs("throughput", words=words, app=app, processes=processes)
        ratios = ""
        if app == OURS:
            own = (str(words), str(processes))
            ratios = ", ".join(
                [f"**{_throughput('ratio', *own)}**", _throughput("cpu", *own), _throughput("memory", *own)]
            )
        name = app if app != OURS else ("one process" if processes == 1 else f"{processes} processes")
        speed, cpu = _spread(runs, "words_per_s", _million), _spread(runs, "cpu_s_per_m", "{:.2f}".format)
        rows.append(f"| {words} | {name} | {speed} | {cpu} | {_median(runs, 'mib'):.0f} | {ratios} |")
    return "\n".join([*rows, "", _origin("throughput"), ""])


def _latency_table() -> str:
    rows = [
        "| blobs/s of 20 words | | p50, ms | p99, ms | CPU, cores | memory (PSS), MiB |",
        "|---|---|---|---|---|---|",
    ]
    groups = list(dict.fromkeys((run["rate"], run["app"]) for run in _result("latency")["runs"]))
    for rate, app in sorted(groups):
        runs = _runs("latency", rate=rate, app=app)
        times = [_spread(runs, key, "{:.0f}".format) for key in ("p50_ms", "p99_ms")]
        load, memory = _median(runs, "cores"), _median(runs, "mib")
        rows.append(f"| {rate:,} | {app} | {times[0]} | {times[1]} | {load:.2f} | {memory:.0f} |")
    return "\n".join([*rows, "", _origin("latency"), ""])


def _origin(name: str) -> str:
    """Return the sentence under a table that says where its figures come from."""
    result = _result(name)
    where = ", ".join(result[key] for key in ("date", "machine", "versions"))
    return f"Median (range) of {result['rounds']} rounds in turn: `{result['command']}`, {where}."


TABLES: Mapping[str, Callable[[], str]] = {"throughput": _throughput_table, "latency": _latency_table}
FIGURES: Mapping[str, Callable[..., str]] = {"throughput": _throughput, "latency": _latency}


def updated(text: str) -> str:
    """Return the document with current figures.

    Raises:
        KeyError: a marker names something that is neither counted nor measured.
    """
    counted = counts()

    def figure(marker: re.Match[str]) -> str:
        begin, kind, name, end = marker.groups()
        if kind == "count":
            return f"{begin}{counted[name]:,}{end}"
        source, *arguments = name.split()
        return f"{begin}{FIGURES[source](*arguments)}{end}"

    return TABLE.sub(lambda table: f"{table[1]}\n{TABLES[table[2]]()}\n{table[3]}", INLINE.sub(figure, text))


def documents() -> list[Path]:
    """Return the documents that may hold figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> int:
    stale = 0
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (new := updated(text)) == text:
            continue
        if "--check" in sys.argv:
            print(f"a figure in {path.relative_to(ROOT)} is not up to date: hatch run docs:figures")  # noqa: T201
            stale = 1
        else:
            path.write_text(new, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
