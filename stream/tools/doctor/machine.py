"""What this machine must have: a folder that lasts and has room, a dictionary, handles, a port."""

import os
import resource
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from stream.config import MAX_POLL_INTERVAL_MS, SESSION_TIMEOUT_MS, Settings
from stream.dictionary import load_index
from stream.errors import StreamError
from stream.tools.doctor.findings import Finding, Findings, failed, ok, warning

_MIB = 1024 * 1024
FREE_MIB_LEAST, FREE_MIB_WELL = 64, 1024
HANDLES_LEAST = 1024
_TEMPORARY = {"tmpfs", "ramfs", "overlay"}


def examine(settings: Settings) -> Findings:
    """Look at all of it."""
    yield _timeouts(settings)
    yield from _faults(settings)
    yield _dictionary(settings)
    yield from _state_folder(settings)
    yield _identity(settings)
    yield _handles()
    yield _port(settings)


def _timeouts(settings: Settings) -> Finding:
    """Tell the ladder; that it nests was checked when the settings were read."""
    session_ms = settings.client_config.get("session.timeout.ms", str(SESSION_TIMEOUT_MS))
    session = f" < session {session_ms}" if settings.group_protocol == "classic" else ""
    return ok(
        "timeouts",
        f"commit interval {settings.commit_interval_ms} < transaction {settings.transaction_timeout_ms}"
        f"{session}; batch deadline {settings.batch_deadline_ms}; poll interval {MAX_POLL_INTERVAL_MS} (ms)",
    )


def _faults(settings: Settings) -> Findings:
    if settings.faults != "none":
        on = f"STREAM_FAULTS={settings.faults}: stages fail on purpose"
        yield warning("faults", on, "unset STREAM_FAULTS")


def _dictionary(settings: Settings) -> Finding:
    try:
        index = load_index(settings.dictionary)
    except StreamError as error:
        hint = getattr(error, "hint", "") or "set STREAM_DICTIONARY to a word list, a word per line"
        return failed("dictionary", str(error), hint)
    return ok("dictionary", f"{index.words:,} words, digest {index.digest}")


def _state_folder(settings: Settings) -> Findings:
    folder = settings.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
        free_mib = shutil.disk_usage(folder).free // _MIB
    except OSError as error:
        yield failed(
            "state folder",
            f"{folder} cannot be used: {error.strerror}",
            "set STREAM_STATE_DIR to a folder that can be written",
        )
        return
    kind = _file_system(folder)
    if kind in _TEMPORARY:
        yield warning(
            "state folder",
            f"{folder} is on {kind}: gone with the container or the next boot, then restored",
            "set STREAM_STATE_DIR to a folder on a disk or a volume",
        )
    else:
        yield ok("state folder", f"{folder}, {kind or 'file system unknown'}")
    room = f"{free_mib:,} MiB free below {folder}"
    if free_mib < FREE_MIB_WELL:
        make = failed if free_mib < FREE_MIB_LEAST else warning
        yield make("disk", room, "free some space, or set STREAM_STATE_DIR to a folder with more of it")
    else:
        yield ok("disk", room)


def _file_system(folder: Path) -> str:
    """Return the kind of file system, where the system tells: the longest mount point that fits."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    path = str(folder.resolve())
    mounts: Sequence[tuple[str, str]] = [(f[1], f[2]) for line in lines if len(f := line.split()) > 2]  # noqa: PLR2004
    fitting = [
        (point, kind) for point, kind in mounts if path == point or path.startswith(point.rstrip("/") + "/")
    ]
    return max(fitting, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _identity(settings: Settings) -> Finding:
    """The transactional id must outlive a restart: only then does the successor fence what is left."""
    if settings.instance_id is not None:
        return ok(
            "transactional id", f"{settings.group_id}-{settings.instance_id}, from STREAM_INSTANCE_ID: stable"
        )
    kept = sorted(settings.state_dir.glob("*/worker-*/instance-id"))
    known = f", {len(kept)} there so far" if kept else ""
    return ok("transactional id", f"kept in the state folder{known}: as stable as the folder is")


def _handles() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < HANDLES_LEAST:
        return warning("open files", f"at most {soft}", f"ulimit -n {HANDLES_LEAST}")
    return ok("open files", f"at most {soft:,}" if soft >= 0 else "no limit")


def _port(settings: Settings) -> Finding:
    where = f"{settings.http_host}:{settings.http_port}"
    if settings.http_port == 0:
        return ok("port", f"any free one on {settings.http_host}; the log says which")
    try:
        with socket.create_server((settings.http_host, settings.http_port)):
            return ok("port", f"{where} is free")
    except OSError as error:
        return warning(
            "port",
            f"{where}: {error.strerror}; by a worker that runs already, perhaps",
            "set STREAM_HTTP_PORT=0 for any free port",
        )
