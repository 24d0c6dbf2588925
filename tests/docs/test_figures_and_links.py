"""Generated figures and pictures are up to date, and pictures load nothing from other hosts."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "ops/docs"))

import figures  # noqa: E402
import pictures  # noqa: E402


def test_every_figure_is_that_of_the_repository_or_of_a_result_file() -> None:
    for path in figures.documents():
        text = path.read_text(encoding="utf-8")
        assert figures.updated(text) == text, f"{path.name}: run `hatch run docs:figures`"


def test_another_figure_is_noticed_and_an_unknown_one_refused() -> None:
    assert (
        figures.updated("<!-- count: decisions -->0<!-- /count -->")
        != "<!-- count: decisions -->0<!-- /count -->"
    )
    with pytest.raises(KeyError):
        figures.updated("<!-- count: stars -->5<!-- /count -->")


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_picture_is_current(name: str) -> None:
    assert (pictures.FOLDER / name).read_text(encoding="utf-8") == str(pictures.PICTURES[name]()), (
        "run `hatch run docs:pictures`"
    )


def test_pictures_load_nothing() -> None:
    for path in pictures.FOLDER.glob("*.svg"):
        assert not re.search(r"(href|src|url)\s*[=(]\s*['\"]?https?:", path.read_text(encoding="utf-8")), (
            path.name
        )


def test_the_readme_is_one_page() -> None:
    text = re.sub(r"<!--.*?-->", "", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1_500


def test_links_lead_to_files_of_the_repository() -> None:
    own = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    for path in (*figures.documents(), *own, *(ROOT / "ops").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)}: {target}"
