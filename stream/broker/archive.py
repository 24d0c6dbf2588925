"""Java's archive of loaded classes (class-data sharing): it halves the time that a start takes.

The first broker that stops in order records it, which makes that stop some 3 s longer; all later ones map
it. It holds nothing but what the jars hold: Java checks that they, and itself, are unchanged, and otherwise
goes on without it. So nothing here is an error: without an archive the broker starts all the same.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from stream.broker.runtime import Runtime

STOPPED_IN_ORDER = 128 + 15  # the exit status of a JVM that SIGTERM ended: then the archive is complete


def path(runtime: Runtime, cache: Path) -> Path:
    """Where the archive of this java and these jars is kept."""
    java, jars = runtime.java.resolve(), runtime.jars[0].parent
    stamps = [f"{file}:{file.stat().st_mtime_ns}" for file in (java, jars)]
    return cache / f"{jars.name}-{hashlib.sha256(' '.join(stamps).encode()).hexdigest()[:12]}.jsa"


def keep(recorded: Path, archive: Path) -> None:
    """Move what was recorded into the cache, at once or not at all, in place of those of other javas."""
    with contextlib.suppress(OSError):  # no space left, or nothing recorded: the next start is slower
        arriving = archive.with_suffix(f".{os.getpid()}")
        try:
            shutil.move(recorded, arriving)
            for old in archive.parent.glob("kafka-*.jsa"):
                old.unlink()
            arriving.replace(archive)
        finally:
            arriving.unlink(missing_ok=True)
