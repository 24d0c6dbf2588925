"""A folder for the private sockets of the worker processes, in the state folder.

STATE_DIR/@sockets/          no group has this name: `@` is escaped there
    RANDOM/                  locked by its supervisor and by all of its processes
        0  1  …              the socket of each worker
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stream.config import PROCESSES_MAX
from stream.errors import Misconfigured
from stream.telemetry.listening import listen

ADDRESS_BYTES_MAX = 103  # of a Unix socket, on every system
_NAME = "@sockets"


@contextmanager
def sockets_folder(state_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Create the folder; yield its path, and the path under which this process and its forks reach it.

    The second path is short: Unix sockets have addresses of at most about 100 bytes. Folders of killed
    supervisors are deleted.

    Raises:
        Misconfigured: neither the state folder nor the temporary folder can hold sockets.
    """
    folder, lock = _create(state_dir)
    try:
        yield folder, _reachable(folder, lock)
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _create(state_dir: Path) -> tuple[Path, int]:
    try:
        return _create_in(state_dir / _NAME)
    except OSError as why:  # read-only, or without sockets, as some network volumes
        try:
            return _locked(Path(tempfile.mkdtemp(prefix="anagram-stream-")))
        except OSError:
            raise Misconfigured(
                f"neither the state folder {state_dir} nor the temporary folder can hold the sockets of the "
                f"worker processes: {why.strerror or why}",
                "set STREAM_STATE_DIR to a writable folder",
            ) from why


def _create_in(parent: Path) -> tuple[Path, int]:
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    guard = _lock(parent, fcntl.LOCK_EX)  # no other process sees a folder between its creation and its lock
    try:
        for left_over in parent.iterdir():
            with suppress(OSError):  # locked: in use
                os.close(_lock(left_over, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(left_over, ignore_errors=True)
        return _locked(Path(tempfile.mkdtemp(dir=parent)))  # readable by its owner only
    finally:
        os.close(guard)


def _locked(folder: Path) -> tuple[Path, int]:
    """Lock a new folder, and check that it can hold sockets."""
    lock = _lock(folder, fcntl.LOCK_EX)
    try:
        listen(str(_reachable(folder, lock) / str(PROCESSES_MAX)), 0).close()
    except OSError:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, lock


def _lock(folder: Path, how: int) -> int:
    """Lock a folder; return the file descriptor that holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _reachable(folder: Path, descriptor: int) -> Path:
    """Return the path of the folder, or a shorter one through a descriptor that forks inherit."""
    address = os.fsencode(folder / str(PROCESSES_MAX))
    by_descriptor = Path(f"/proc/self/fd/{descriptor}")
    return by_descriptor if len(address) > ADDRESS_BYTES_MAX and by_descriptor.exists() else folder
