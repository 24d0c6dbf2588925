"""Adds pages and pictures from other folders of the repository to the site, with an index of each folder.

mkdocs calls the functions whose names begin with `on_`; see `mkdocs.yml`.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {
    "changelog.md": ROOT / "CHANGELOG.md",
    "how-to/kubernetes.md": ROOT / "ops/kubernetes/README.md",
    "pictures/where-time-goes.svg": ROOT / "resources/where-time-goes.svg",
}
FOLDERS = {
    "decisions": (
        ROOT / "ops/decisions",
        "Each decision says what the problem was, what was chosen, and what was tried.",
    ),
    "runbooks": (ROOT / "ops/runbooks", "One page for each alert: what it means, how to check, what to do."),
}
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<to>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
REMOTE = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace the folders in the navigation by their pages."""
    for entry in config.nav or []:
        for title, target in entry.items():
            if (folder := str(target).rstrip("/")) in FOLDERS:
                pages = [f"{folder}/{page.name}" for page in _pages(FOLDERS[folder][0])]
                entry[title] = [f"{folder}/index.md", *pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere."""
    for uri, path in _sources().items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    for folder, (path, purpose) in FOLDERS.items():
        files.append(File.generated(config, f"{folder}/index.md", content=_index(path, folder, purpose)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point the links, which are valid in the repository, to the site; name a file that is not on it."""
    source = _sources().get(page.file.src_uri, DOCS / page.file.src_uri)
    uris = {path: uri for uri, path in _sources().items()}
    uris |= {path: f"{folder}/index.md" for folder, (path, _) in FOLDERS.items()}

    def on_site(link: re.Match[str]) -> str:
        target = (source.parent / link["to"]).resolve()
        if target.is_relative_to(DOCS):
            uris[target] = target.relative_to(DOCS).as_posix()
        if target in uris:
            to = posixpath.relpath(uris[target], posixpath.dirname(page.file.src_uri) or ".")
            return f"[{link['text']}]({to}{link['anchor'] or ''})"
        path = target.relative_to(ROOT).as_posix()
        return link["text"] if path in link["text"] else f"{link['text']} (`{path}`)"

    return LINK.sub(on_site, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from another host."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        if remote := REMOTE.search(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.name} loads from another host: {remote[0]}")


def _sources() -> dict[str, Path]:
    """Return page on the site -> file."""
    pages = {f"{folder}/{page.name}": page for folder, (path, _) in FOLDERS.items() for page in _pages(path)}
    return PAGES | pages


def _pages(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.md"))


def _index(path: Path, folder: str, purpose: str) -> str:
    titles = (
        (page.name, page.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")) for page in _pages(path)
    )
    links = "\n".join(f"- [{title}]({name})" for name, title in titles)
    return f"# {folder.capitalize()}\n\n{purpose}\n\n{links}\n"
