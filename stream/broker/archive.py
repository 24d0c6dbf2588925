"""Java's archive of loaded classes (class-data sharing), which halves the start time of the broker.

The first broker that shuts down cleanly records the archive, which delays that shutdown by about 3 s. Later
brokers map it into memory. It contains only classes from the jars. Java checks that java and the jars are
unchanged and ignores the archive otherwise. Failures here are not errors: the broker starts without it.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from stream.broker.runtime import Runtime

CLEAN_SHUTDOWN = 128 + 15  # exit status of a JVM after SIGTERM: the archive is complete


def path(runtime: Runtime, cache: Path) -> Path:
    """Return the path of the archive for this java and these jars."""
    java, jars = runtime.java.resolve(), runtime.jars[0].parent
    stamps = [f"{file}:{file.stat().st_mtime_ns}" for file in (java, jars)]
    return cache / f"{jars.name}-{hashlib.sha256(' '.join(stamps).encode()).hexdigest()[:12]}.jsa"


def keep(recorded: Path, archive: Path) -> None:
    """Move a recorded archive into the cache atomically; it replaces the archives of other Java versions."""
    with contextlib.suppress(OSError):  # the disk is full or nothing was recorded: the next start is slower
        arriving = archive.with_suffix(f".{os.getpid()}")
        try:
            shutil.move(recorded, arriving)
            for old in archive.parent.glob(f"{archive.stem.rpartition('-')[0]}-*.jsa"):
                old.unlink()
            arriving.replace(archive)
        finally:
            arriving.unlink(missing_ok=True)
