"""Checks of this machine: settings, dictionary, state folder, disk space, file handles, port."""

import errno
import os
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

from stream.client_properties import SESSION_TIMEOUT_MS
from stream.config import MAX_POLL_INTERVAL_MS, Settings
from stream.dictionary import load_index
from stream.errors import StreamError
from stream.telemetry.listening import listen, listening_hint
from stream.tools.doctor.findings import Finding, Findings, failed, ok, warning

_MIB = 1024 * 1024
FREE_MIB_MIN, FREE_MIB_RECOMMENDED = 64, 1024
HANDLES_MIN = 1024
_TEMPORARY = {"tmpfs", "ramfs", "overlay"}


def examine(settings: Settings) -> Findings:
    yield _timeouts(settings)
    yield from _faults(settings)
    yield _dictionary(settings)
    yield from _state_folder(settings)
    yield _identity(settings)
    yield _handles()
    yield _port(settings)


def _timeouts(settings: Settings) -> Finding:
    """Report the timeouts; `Settings` has already checked that they nest."""
    session_ms = settings.client_config.get("session.timeout.ms", str(SESSION_TIMEOUT_MS))
    session = f" < session {session_ms}" if settings.group_protocol != "consumer" else ""
    return ok(
        "timeouts",
        f"commit interval {settings.commit_interval_ms} < transaction {settings.transaction_timeout_ms}"
        f"{session}; batch deadline {settings.batch_deadline_ms}; poll interval {MAX_POLL_INTERVAL_MS} (ms)",
    )


def _faults(settings: Settings) -> Findings:
    if settings.faults != "none":
        message = f"STREAM_FAULTS={settings.faults}: stages fail on purpose"
        yield warning("faults", message, "unset STREAM_FAULTS")


def _dictionary(settings: Settings) -> Finding:
    try:
        index = load_index(settings.dictionary)
    except StreamError as error:
        hint = getattr(error, "hint", "") or "set STREAM_DICTIONARY to a word list with one word per line"
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
            "set STREAM_STATE_DIR to a writable folder",
        )
        return
    kind = _file_system(folder)
    if kind in _TEMPORARY:
        yield warning(
            "state folder",
            f"{folder} is on {kind}: lost with the container or at the next boot, then restored from Kafka",
            "set STREAM_STATE_DIR to a folder on a disk or a volume",
        )
    else:
        yield ok("state folder", f"{folder}, {kind or 'unknown file system'}")
    free = f"{free_mib:,} MiB free in {folder}"
    if free_mib < FREE_MIB_RECOMMENDED:
        finding = failed if free_mib < FREE_MIB_MIN else warning
        yield finding("disk", free, "free up disk space, or set STREAM_STATE_DIR to a folder with more space")
    else:
        yield ok("disk", free)


def _file_system(folder: Path) -> str:
    """Return the file system type of the longest matching mount point; empty if the system lists none."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    path = str(folder.resolve())
    mounts: Sequence[tuple[str, str]] = [(f[1], f[2]) for line in lines if len(f := line.split()) > 2]  # noqa: PLR2004
    matching = [
        (point, kind) for point, kind in mounts if path == point or path.startswith(point.rstrip("/") + "/")
    ]
    return max(matching, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _identity(settings: Settings) -> Finding:
    """Report the transactional id; it must survive a restart so that the successor fences its predecessor."""
    if settings.instance_id is not None:
        return ok(
            "transactional id", f"{settings.group_id}-{settings.instance_id} from STREAM_INSTANCE_ID: stable"
        )
    ids = sorted(settings.state_dir.glob("*/worker-*/instance-id"))
    known = f", {len(ids)} so far" if ids else ""
    return ok("transactional id", f"kept in the state folder{known}: as durable as that folder")


def _handles() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < HANDLES_MIN:
        return warning("open files", f"at most {soft}", f"ulimit -n {HANDLES_MIN}")
    return ok("open files", f"at most {soft:,}" if soft >= 0 else "no limit")


def _port(settings: Settings) -> Finding:
    address = f"{settings.http_host}:{settings.http_port}"
    try:
        listen(settings.http_host, settings.http_port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"{address}: {error.strerror}; perhaps a worker is already running"
            return warning("port", why, listening_hint(error))
        return failed("port", f"cannot listen on {address}: {error.strerror}", listening_hint(error))
    if settings.http_port == 0:
        return ok("port", f"any free port on {settings.http_host}; the log shows it")
    return ok("port", f"{address} is free")
