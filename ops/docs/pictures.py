"""Draws the pictures of the documentation.

python ops/docs/pictures.py            writes them
python ops/docs/pictures.py --check    exit status 1 if they differ
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from svg import AMBER, BLUE, GREEN, GREY, INK, MUTED, RED, Drawing

FOLDER = Path(__file__).resolve().parents[2] / "docs/pictures"


def pipeline() -> Drawing:
    drawing = Drawing(
        960, 400, "From the input topic through one transaction to the output topics and RocksDB"
    )
    drawing.labelled(20, 120, 110, 60, GREY, "producers")
    drawing.labelled(170, 110, 130, 80, BLUE, "text-blobs", "input topic")
    drawing.box(335, 30, 350, 350, "#f8fafc", dashed=True)
    drawing.text(350, 54, "worker (one of many, one consumer group)", size=12, color=MUTED)
    drawing.labelled(355, 110, 130, 80, GREEN, "poll a batch,", "decode it, count it")
    drawing.labelled(535, 80, 130, 140, AMBER, "transaction", "all of it,", "or nothing")
    drawing.labelled(445, 285, 150, 70, GREEN, "RocksDB", "totals + checkpoint")
    topics = [
        ("anagram-results", "one result per blob"),
        ("signature-counts", "totals: the changelog"),
        ("dead-letters", "with the reason"),
        ("committed offsets", "of the group"),
    ]
    for number, (name, purpose) in enumerate(topics):
        drawing.labelled(760, 30 + 80 * number, 180, 62, BLUE, name, purpose)
        drawing.arrow(
            (665, 105 + 30 * number),
            (712, 105 + 30 * number),
            (712, 61 + 80 * number),
            (758, 61 + 80 * number),
        )
    drawing.arrow((130, 150), (168, 150))
    drawing.arrow((300, 150), (353, 150))
    drawing.arrow((485, 150), (533, 150))
    drawing.arrow((570, 220), (570, 283), heavy=True)
    drawing.text(582, 250, "after the", size=12, color=MUTED)
    drawing.text(582, 266, "commit", size=12, color=MUTED)
    drawing.arrow((445, 320), (420, 320), (420, 192), dashed=True)
    drawing.text(365, 250, "totals", size=12, color=MUTED)
    drawing.text(365, 266, "so far", size=12, color=MUTED)
    drawing.arrow((760, 152), (735, 152), (735, 366), (520, 366), (520, 357), dashed=True)
    drawing.text(610, 360, "restore", size=12, color=MUTED)
    return drawing


STEPS = [
    # step, Kafka after it, RocksDB after it, after a crash the next worker
    ("poll a batch", "nothing", "even", "reads the batch again"),
    ("begin the transaction (in the client)", "nothing", "even", "reads the batch again"),
    ("produce results and dead letters", "open", "even", "reads the batch again; nobody saw the records"),
    ("produce changed totals", "open", "even", "reads the batch again; restore skips them"),
    ("flush: all records are acknowledged", "open", "even", "reads the batch again"),
    ("send offsets and evidence", "open", "even", "reads the batch again"),
    ("commit", "in doubt", "even", "asks Kafka: the batch again, or the next one"),
    ("the commit is acknowledged", "committed", "behind", "restores the tail of the changelog"),
    ("write totals and checkpoint", "committed", "even", "continues with the next batch"),
]
FILLS = {"nothing": GREY, "open": AMBER, "in doubt": RED, "committed": GREEN, "even": GREEN, "behind": AMBER}


def commit() -> Drawing:
    """Each row is a step; the columns say what exists when a worker is killed right after it."""
    row, top = 44, 78
    drawing = Drawing(
        960, top + row * len(STEPS) + 66, "The steps of a commit, and what a crash after each leaves"
    )
    columns = [
        (20, "step of the worker"),
        (330, "in Kafka"),
        (460, "in RocksDB"),
        (590, "killed here, the next worker …"),
    ]
    for x, title in columns:
        drawing.text(x, 50, title, bold=True)
    for number, (step, kafka, store, then) in enumerate(STEPS):
        y = top + row * number
        drawing.box(20, y, 290, row - 8, BLUE)
        drawing.text(34, y + 23, f"{number + 1}  {step}")
        for x, state in ((330, kafka), (460, store)):
            drawing.box(x, y, 110, row - 8, FILLS[state])
            drawing.text(x + 55, y + 23, state, middle=True)
        drawing.text(590, y + 23, then)
        if number:
            drawing.arrow((165, y - 8), (165, y))
    bottom = top + row * len(STEPS)
    drawing.text(
        20,
        bottom + 20,
        "Before 7, read_committed readers see nothing of the batch; after the commit they see all of it.",
        color=INK,
    )
    drawing.text(
        20,
        bottom + 42,
        "RocksDB never holds more than Kafka has committed: a restore only adds, and never undoes.",
        color=MUTED,
    )
    return drawing


PICTURES: Mapping[str, Callable[[], Drawing]] = {"pipeline.svg": pipeline, "commit.svg": commit}


def main() -> int:
    stale = [name for name, draw in PICTURES.items() if not _is_current(name, str(draw()))]
    if "--check" not in sys.argv:
        for name in stale:
            (FOLDER / name).write_text(str(PICTURES[name]()), encoding="utf-8")
        return 0
    for name in stale:
        print(f"docs/pictures/{name} is not up to date: hatch run docs:pictures")  # noqa: T201
    return int(bool(stale))


def _is_current(name: str, drawn: str) -> bool:
    path = FOLDER / name
    return path.exists() and path.read_text(encoding="utf-8") == drawn


if __name__ == "__main__":
    sys.exit(main())
