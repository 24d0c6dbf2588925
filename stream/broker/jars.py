"""Kafka's jars: fetched once by jgo, and checked against our own listing at every start."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.broker.fetch import Advance
from stream.errors import Refused

KAFKA_VERSION = "4.3.1"
LISTING = Path(__file__).with_name("jars.txt")

_CONNECTIONS = 4
_TIMEOUT_S = 60
_OTHERWISE = (
    "connect to the network (Maven Central, or a proxy named in HTTPS_PROXY) and start again, "
    "or set STREAM_BOOTSTRAP_SERVERS to use a broker that runs already"
)


@dataclass(frozen=True, slots=True)
class Jar:
    """A line of the listing.

    Attributes:
        coordinate: Maven's, `group:artifact:version`.
        size_bytes: of the file.
        sha256: of the file, in hex.
    """

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """As Maven names it."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def listed(listing: Path = LISTING) -> tuple[Jar, ...]:
    """The jars of the broker, in the order of the class path."""
    lines = [
        line.split() for line in listing.read_text("ascii").splitlines() if line and not line.startswith("#")
    ]
    return tuple(Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in lines)


def folder(cache: Path) -> Path:
    """Where the jars are kept."""
    return cache / f"kafka-{KAFKA_VERSION}"


def check(jars: Sequence[Jar], where: Path, hint: str) -> None:
    """Compare every file with its line.

    Raises:
        Refused: a file is missing or is not what was listed.
    """
    for jar in jars:
        found = _digest(where / jar.filename, jar)
        if found != jar.sha256:
            raise Refused(
                f"{where / jar.filename} is not the jar that was listed: {found}, not {jar.sha256}", hint
            )


def _digest(path: Path, jar: Jar) -> str:
    try:
        if path.stat().st_size != jar.size_bytes:
            return f"{path.stat().st_size} bytes instead of {jar.size_bytes}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "no such file"


def fetch(jars: Sequence[Jar], cache: Path, advance: Advance) -> None:
    """Bring the jars into the cache: all of them, checked, or none.

    Raises:
        Refused: they could not be had, or one is not what was listed.
    """
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
        # A repository of our own: jgo leaves half a file behind when interrupted, and ~/.m2 would keep it.
        repository, checked = Path(scratch, "repository"), Path(scratch, "jars")
        checked.mkdir()
        for jar, path in zip(jars, _download(jars, repository, advance), strict=True):
            path.replace(checked / jar.filename)
        check(jars, checked, "fetch again from another network; a proxy may have changed the file on its way")
        target = folder(cache)
        shutil.rmtree(target, ignore_errors=True)
        checked.replace(target)


def _download(jars: Sequence[Jar], repository: Path, advance: Advance) -> list[Path]:
    """Each listed coordinate by itself: a quarter of the time that resolving the tree of POMs again takes."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - only the first run needs it
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the same
    except ImportError as error:
        raise Refused(
            f"Kafka's jars are fetched by jgo: {error}", "pip install 'anagram-stream[embedded]'"
        ) from error

    @contextmanager
    def progress(_filename: str, _size_bytes: int) -> Iterator[Advance]:
        yield advance

    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=repository,
        local_repos=[],
        remote_repos={"central": MAVEN_CENTRAL_URL},
        timeout=_TIMEOUT_S,
    )

    def download(jar: Jar) -> Path:
        group, artifact, version = jar.coordinate.split(":")
        return Path(context.project(group, artifact).at_version(version).artifact().resolve())

    with _silent("jgo"), ThreadPoolExecutor(_CONNECTIONS) as pool:
        pending = [pool.submit(download, jar) for jar in jars]
        try:
            return [future.result() for future in pending]
        except (OSError, RuntimeError) as error:  # requests raises OSErrors, jgo RuntimeErrors
            raise Refused(
                f"Kafka {KAFKA_VERSION} could not be fetched from Maven Central: {error}", _OTHERWISE
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # what waits still, after a failure or a Ctrl-C


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Nothing of a library's own log: its warnings are about checksums that we check ourselves."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
