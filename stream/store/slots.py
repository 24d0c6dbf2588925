"""Slots: each worker has its own folder in the state folder, with a stable id.

STATE_DIR/GROUP_ID/          readable by its owner only
    worker-0/  worker-1/     a worker takes the first free slot, and holds `lock` until it exits
        lock  instance-id    the id is generated once and never changes
        partition-0/ …       stores
    instance-NAME/           the slot of the worker with INSTANCE_ID=NAME
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
    """The folder and id of a worker, held until `close` or the end of the process.

    Attributes:
        folder: the folder of the stores.
        instance_id: stable across restarts.
    """

    folder: Path
    instance_id: str
    _lock: int

    def close(self) -> None:
        """Release the slot for the next worker."""
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
    """Claim the slot of `instance_id`; without an id the first one that no running worker holds.

    Raises:
        Misconfigured: the folder cannot be written, or a worker with this `instance_id` is running.
    """
    group = state_dir / folder_name(group_id)
    try:
        group.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        if instance_id is not None:
            slot = _claim(group / f"instance-{instance_id}", instance_id)
            if slot is None:
                raise Misconfigured(
                    f"a worker with STREAM_INSTANCE_ID={instance_id} is already running in {group}",
                    "set a different STREAM_INSTANCE_ID for each worker, or none",
                )
            return slot
        for number in range(SLOTS_MAX):
            slot = _claim(group / f"worker-{number}", None)
            if slot is not None:
                return slot
    except OSError as error:
        raise Misconfigured(
            f"the state folder {group} cannot be used: {error.strerror}",
            "set STREAM_STATE_DIR to a writable folder",
        ) from error
    raise Misconfigured(f"{SLOTS_MAX} workers are already running in {group}", "set another STREAM_STATE_DIR")


def _claim(folder: Path, instance_id: str | None) -> Slot | None:
    folder.mkdir(exist_ok=True, mode=_OWNER_ONLY)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Slot(folder, instance_id or _stable_id(folder / "instance-id"), lock)


def _stable_id(path: Path) -> str:
    try:
        instance_id = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        instance_id = ""
    if not instance_id:
        instance_id = secrets.token_hex(6)
        temporary = path.with_suffix(".new")
        temporary.write_text(instance_id + "\n", encoding="ascii")
        temporary.replace(path)
    return instance_id


def folder_name(group_id: str) -> str:
    """Escape a group id, which may contain any character, for use as the name of a folder."""
    return "".join(c if c.isalnum() or c in "._-" else f"%{ord(c):02x}" for c in group_id)
