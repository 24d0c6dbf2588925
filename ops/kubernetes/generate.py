"""Generates the PrometheusRule, the ConfigMaps of the dashboards, and the table in README.md.

python ops/kubernetes/generate.py            writes them
python ops/kubernetes/generate.py --check    exit status 1 if they differ

kustomize reads no files above its own folder, so the components hold copies. The table needs kubectl.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER.parent / "prometheus/rules"
DASHBOARDS = FOLDER.parent / "grafana/dashboards"
OVERLAYS = ("dev", "prod")
HEADER = "# Generated from {source} by ops/kubernetes/generate.py.\n"
HASH = re.compile(r"-[2456789bcdfghkmt]{10}$")  # kustomize omits characters that could spell a word
TABLE_BEGIN, TABLE_END = "<!-- rendered -->\n", "<!-- /rendered -->"

Json = dict[str, Any]


class Dumper(yaml.SafeDumper):
    """Writes multi-line texts as literal blocks, and no anchors, as readers of manifests expect."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature of PyYAML
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _text)


def prometheus_rules() -> Iterator[Json]:
    for path in sorted(RULES.glob("*.yml")):
        yield {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": path.stem},
            "spec": {"groups": yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]},
        }


def dashboard_config_maps() -> Iterator[Json]:
    for path in sorted(DASHBOARDS.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": json.loads(text)["uid"], "labels": {"grafana_dashboard": "1"}},
            "data": {path.name: text},
        }


def _yaml(source: str, objects: Iterator[Json]) -> str:
    return HEADER.format(source=source) + yaml.dump_all(
        objects, Dumper=Dumper, sort_keys=False, width=2**31, allow_unicode=True
    )


def render(folder: Path) -> list[Json]:
    """Return the objects that kustomize renders from a folder."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],  # noqa: S607 - the one on the PATH
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C: dashboards are large
    return [each for each in yaml.load_all(done.stdout, Loader=loader) if each]


def name_of(thing: Mapping[str, Any]) -> str:
    """Return the name without the hash of its content, which kustomize appends for a generator."""
    return HASH.sub("", thing["metadata"]["name"])


def table() -> str:
    """Return the objects of every overlay as a table in Markdown."""
    rendered = {
        overlay: {(each["kind"], name_of(each)) for each in render(FOLDER / "overlays" / overlay)}
        for overlay in OVERLAYS
    }
    rows = [f"| object | {' | '.join(OVERLAYS)} |", "|---|" + "---|" * len(OVERLAYS)]
    for kind, name in sorted(set().union(*rendered.values())):
        marks = ("yes" if (kind, name) in rendered[overlay] else "" for overlay in OVERLAYS)
        rows.append(f"| {kind} `{name}` | {' | '.join(marks)} |")
    return "\n".join(rows) + "\n"


def readme(text: str) -> str:
    """Return the text of README.md with the current table."""
    before, _, rest = text.partition(TABLE_BEGIN)
    _, _, after = rest.partition(TABLE_END)
    return before + TABLE_BEGIN + table() + TABLE_END + after


def generated() -> dict[Path, str]:
    """Return the content of each generated manifest, by path."""
    components = FOLDER / "components"
    return {
        components / "monitoring/prometheus-rules.yaml": _yaml("ops/prometheus/rules", prometheus_rules()),
        components / "dashboards/config-maps.yaml": _yaml("ops/grafana/dashboards", dashboard_config_maps()),
    }


def main(arguments: list[str]) -> int:
    page = FOLDER / "README.md"
    stale = 0
    # The manifests first: the table is generated from them.
    for make in (generated, lambda: {page: readme(page.read_text(encoding="utf-8"))}):
        for path, text in make().items():
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                sys.stderr.write(f"{path} is not up to date; python ops/kubernetes/generate.py writes it\n")
                stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
