"""Compares two sets of totals: those of the count topic, a folder of stores, or a moment."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream.core.counts import decode_total
from stream.errors import Fatal, Refused
from stream.store.identity import StoreIdentity
from stream.store.rocks import read_copy
from stream.tools.audit.stores import store_folders
from stream.tools.rebuild.count_topic import CountedTotals


@dataclass(frozen=True, slots=True)
class TotalsOf:
    """Totals by signature, summed over the partitions.

    Attributes:
        name: name that the user gave.
        covers: partition -> the totals cover the input before this offset.
        digest: digest of their dictionary; "" if unknown.
    """

    name: str
    totals: Counter[str]
    covers: Mapping[int, int]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two totals of a signature that are not equal."""

    signature: str
    left: int
    right: int

    @property
    def difference(self) -> int:
        """Right minus left."""
        return self.right - self.left


def differences(left: TotalsOf, right: TotalsOf) -> list[Difference]:
    """Return the signatures whose totals differ, the largest difference first."""
    signatures = left.totals.keys() | right.totals.keys()
    unequal = [
        Difference(each, left.totals[each], right.totals[each])
        for each in signatures
        if left.totals[each] != right.totals[each]
    ]
    return sorted(unequal, key=lambda each: (-abs(each.difference), each.signature))


def totals_of_counted(name: str, counted: Mapping[int, CountedTotals]) -> TotalsOf:
    """Return the totals of the count topic.

    Raises:
        Fatal: it contains a value that is not a total.
    """
    totals: Counter[str] = Counter()
    for partition, each in counted.items():
        _add(totals, f"partition {partition} of the count topic", each.totals)
    digests = {each.digest for each in counted.values()} - {""}
    covers = {p: each.counted_to or 0 for p, each in counted.items()}
    return TotalsOf(name, totals, covers, digests.pop() if len(digests) == 1 else "")


def totals_of_folder(folder: Path) -> TotalsOf:
    """Return the totals of the stores below a folder; of several for a partition, the most advanced one.

    Raises:
        Refused: there are no stores, or they belong to different inputs or dictionaries.
        Fatal: a store cannot be read.
    """
    stores: dict[int, tuple[int, Mapping[bytes, bytes], Path]] = {}
    identities: dict[StoreIdentity, Path] = {}
    interrupted: dict[int, Path] = {}
    for path in sorted(store_folders(folder)):
        identity, checkpoint, totals = read_copy(path)
        if identity is None:
            continue
        identities.setdefault(identity, path)
        partition = int(path.name.removeprefix("partition-"))
        covers = (checkpoint.input_offset if checkpoint else None) or 0
        if partition not in stores or covers > stores[partition][0]:
            stores[partition] = covers, totals, path
            if checkpoint is not None and checkpoint.is_restoring:
                interrupted[partition] = path
            else:
                interrupted.pop(partition, None)
    if not stores:
        raise Refused(f"no stores found in {folder}", "pass the folder of a rebuild or a STREAM_STATE_DIR")
    if len(identities) > 1:
        first, second = list(identities.values())[:2]
        raise Refused(
            f"the stores below {folder} belong to different clusters, topics or dictionaries, such as "
            f"{first} and {second}",
            "pass the folder of one group",
        )
    for path in interrupted.values():
        raise Refused(
            f"the restore of the store {path} is incomplete, so the store matches no input offset",
            "wait until its worker is ready, or restart the worker",
        )
    (identity,) = identities
    summed: Counter[str] = Counter()
    for _, of_store, path in stores.values():
        _add(summed, str(path), of_store)
    return TotalsOf(str(folder), summed, {p: each[0] for p, each in stores.items()}, identity.digest)


def _add(summed: Counter[str], where: str, totals: Mapping[bytes, bytes]) -> None:
    for key, value in totals.items():
        try:
            summed[key.decode("ascii")] += decode_total(value)
        except ValueError as error:
            raise Fatal(f"{where}: {error}") from error
