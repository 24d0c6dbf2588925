"""Who a worker is: a folder of its own under the state folder, and a stable id in it.

STATE_DIR/GROUP_ID/          readable by its owner only
    worker-0/  worker-1/     the next free one is taken; `lock` is held while its worker lives
        lock  instance-id    the id was drawn once, and stays
        partition-0/ …       stores
    instance-NAME/           with INSTANCE_ID=NAME: that one and no other
"""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.errors import Misconfigured

SLOTS_MAX = 256
_OWNER_ONLY = 0o700


@dataclass(slots=True)
class Slot:
    """A worker's folder and id, held until it is closed or the process ends.

    Attributes:
        folder: for the stores.
        instance_id: stable over restarts.
    """

    folder: Path
    instance_id: str
    _lock: int

    def close(self) -> None:
        """Let the next worker have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim_slot(state_dir: Path, group_id: str, instance_id: str | None) -> Slot:
    """Take the folder of `instance_id`, or without one the first that no living worker holds.

    Raises:
        Misconfigured: the folder cannot be written, or a worker of this `instance_id` runs.
    """
    group = state_dir / _folder_name(group_id)
    try:
        group.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        if instance_id is not None:
            slot = _claim(group / f"instance-{instance_id}", instance_id)
            if slot is None:
                raise Misconfigured(
                    f"a worker with STREAM_INSTANCE_ID={instance_id} runs already on {group}",
                    "give each worker an STREAM_INSTANCE_ID of its own, or none",
                )
            return slot
        for number in range(SLOTS_MAX):
            slot = _claim(group / f"worker-{number}", None)
            if slot is not None:
                return slot
    except OSError as error:
        raise Misconfigured(
            f"the state folder {group} cannot be used: {error.strerror}",
            "set STREAM_STATE_DIR to a folder that can be written",
        ) from error
    raise Misconfigured(f"{SLOTS_MAX} workers run on {group}", "set another STREAM_STATE_DIR")


def _claim(folder: Path, instance_id: str | None) -> Slot | None:
    folder.mkdir(exist_ok=True, mode=_OWNER_ONLY)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Slot(folder, instance_id or _kept_id(folder / "instance-id"), lock)


def _kept_id(path: Path) -> str:
    try:
        kept = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = secrets.token_hex(6)
        temporary = path.with_suffix(".new")
        temporary.write_text(kept + "\n", encoding="ascii")
        temporary.replace(path)
    return kept


def _folder_name(group_id: str) -> str:
    """A group id may hold any character; a folder's name may not."""
    return "".join(c if c.isalnum() or c in "._-" else f"%{ord(c):02x}" for c in group_id)
