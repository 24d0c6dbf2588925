"""Reads copies of the stores in the workers' state folders."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stream.errors import Fatal, Refused
from stream.store.identity import StoreIdentity
from stream.store.rocks import read_copy
from stream.tools.audit.outcomes import StoreCopy
from stream.tools.audit.verdict import Verdict

_STORE = re.compile(r"partition-([0-9]+)")


def read_stores(
    state_dirs: Sequence[Path], identity: StoreIdentity, verdict: Verdict
) -> Mapping[int, Sequence[StoreCopy]]:
    """Return copies of the stores below these folders, by partition; the verdict lists those left out."""
    copies: dict[int, list[StoreCopy]] = {}
    verdict.stores_found = 0 if state_dirs else None
    for folder in state_dirs:
        paths = sorted(store_folders(folder))
        verdict.stores_found = (verdict.stores_found or 0) + len(paths)
        if not paths:
            verdict.unchecked.append(f"no stores found in {folder}")
        for path in paths:
            try:
                store_identity, checkpoint, totals = read_copy(path)
            except Fatal as why:
                verdict.unchecked.append(str(why))
                continue
            if store_identity != identity:
                verdict.unchecked.append(
                    f"the store {path} is new, or belongs to another cluster, topic or dictionary"
                )
                continue
            input_offset = checkpoint.input_offset if checkpoint else None
            position = checkpoint.changelog_offset if checkpoint else 0
            partition = int(path.name.removeprefix("partition-"))
            is_restoring = checkpoint is not None and checkpoint.is_restoring
            copy = StoreCopy(str(path), input_offset or 0, position, totals, is_restoring)
            copies.setdefault(partition, []).append(copy)
    return copies


def store_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of stores below a state folder, except stores that were set aside.

    Raises:
        Refused: the state folder does not exist.
    """
    if not folder.is_dir():
        raise Refused(f"the folder {folder} does not exist", "pass the workers' STREAM_STATE_DIR")
    for path in folder.rglob("partition-*"):
        if _STORE.fullmatch(path.name) and path.is_dir():
            yield path
