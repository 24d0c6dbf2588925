"""Copies of the stores in the workers' state folders."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stream.errors import Fatal, Refused
from stream.store.rocks import StoreIdentity, read_copy
from stream.tools.audit.outcomes import StoreCopy

_STORE = re.compile(r"partition-([0-9]+)")


def read_stores(
    state_dirs: Sequence[Path], identity: StoreIdentity, unchecked: list[str]
) -> Mapping[int, Sequence[StoreCopy]]:
    """Return copies of the stores below these folders, by partition; note in `unchecked` those left out."""
    copies: dict[int, list[StoreCopy]] = {}
    for path in sorted(path for folder in state_dirs for path in store_folders(folder)):
        try:
            store_identity, checkpoint, totals = read_copy(path)
        except Fatal as why:
            unchecked.append(str(why))
            continue
        if store_identity != identity:
            unchecked.append(f"the store {path} is new, or belongs to another cluster, topic or dictionary")
        elif checkpoint is not None and checkpoint.input_offset is not None:
            partition = int(path.name.removeprefix("partition-"))
            copy = StoreCopy(str(path), checkpoint.input_offset, checkpoint.changelog_offset, totals)
            copies.setdefault(partition, []).append(copy)
    return copies


def store_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of stores below a state folder, without those of stores that were set aside.

    Raises:
        Refused: the state folder does not exist.
    """
    if not folder.is_dir():
        raise Refused(f"the folder {folder} does not exist", "name the workers' STREAM_STATE_DIR")
    for path in folder.rglob("partition-*"):
        if _STORE.fullmatch(path.name) and path.is_dir():
            yield path
