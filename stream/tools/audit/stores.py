"""Copies of stores, as they lie in workers' state folders."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stream.errors import Fatal, Refused
from stream.store.rocks import StoreIdentity, read_copy
from stream.tools.audit.outcomes import StoreCopy

Copied = tuple[int, StoreCopy]
"""A store's changelog position, and the store."""
_STORE = re.compile(r"partition-([0-9]+)")


def read_stores(
    state_dirs: Sequence[Path], identity: StoreIdentity, unchecked: list[str]
) -> Mapping[int, Sequence[Copied]]:
    """Return the stores below these folders, by partition; add to `unchecked` what could not be read."""
    copies: dict[int, list[Copied]] = {}
    for path in sorted(path for folder in state_dirs for path in store_folders(folder)):
        try:
            found, checkpoint, totals = read_copy(path)
        except Fatal as why:
            unchecked.append(str(why))
            continue
        if found != identity:
            unchecked.append(f"the store {path} is of another cluster, topic or dictionary, or new")
        elif checkpoint is not None and checkpoint.input_offset is not None:
            partition = int(path.name.removeprefix("partition-"))
            copy = StoreCopy(str(path), checkpoint.input_offset, totals)
            copies.setdefault(partition, []).append((checkpoint.changelog_offset, copy))
    return copies


def store_folders(folder: Path) -> Iterator[Path]:
    """Yield the stores below a state folder; those that were set aside are not among them.

    Raises:
        Refused: there is no such folder.
    """
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}", "name the workers' STREAM_STATE_DIR")
    for path in folder.rglob("partition-*"):
        if _STORE.fullmatch(path.name) and path.is_dir():
            yield path
