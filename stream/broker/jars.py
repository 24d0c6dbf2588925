"""Kafka's jars: downloaded once with jgo, and checked against their list in `jars/` at every start."""

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
from stream.errors import Misconfigured, Refused

KAFKA_VERSION = "4.4.0"
LISTS = Path(__file__).with_name("jars")

_CONNECTIONS = 4
_TIMEOUT_S = 60
_NETWORK_HINT = (
    "connect to the network (Maven Central, directly or through HTTPS_PROXY) and start again, "
    "or set STREAM_BOOTSTRAP_SERVERS to a broker that is already running"
)


@dataclass(frozen=True, slots=True)
class Jar:
    """A line of a list of jars.

    Attributes:
        coordinate: Maven coordinate, `group:artifact:version`.
        size_bytes: size of the file.
        sha256: hash of the file, in hex.
    """

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """The file name that Maven gives the jar."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def versions() -> list[str]:
    """Return the supported versions of Kafka, oldest first."""
    stems = (path.stem.removeprefix("kafka-") for path in LISTS.glob("kafka-*.txt"))
    return sorted(stems, key=lambda version: [int(part) for part in version.split(".")])


def listed(version: str = KAFKA_VERSION) -> tuple[Jar, ...]:
    """Return the jars of a version, in the order of the class path.

    Raises:
        Misconfigured: the version has no list.
    """
    try:
        text = (LISTS / f"kafka-{version}.txt").read_text("ascii")
    except FileNotFoundError:
        raise Misconfigured(
            f"the embedded broker does not support Kafka {version}", f"choose one of {', '.join(versions())}"
        ) from None
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in lines)


def folder(cache: Path, version: str) -> Path:
    """Return the folder of the jars in the cache."""
    return cache / f"kafka-{version}"


def check(jars: Sequence[Jar], jar_folder: Path, hint: str) -> None:
    """Compare the size and hash of every jar with its list.

    Raises:
        Refused: a file is missing or differs.
    """
    for jar in jars:
        digest = _digest(jar_folder / jar.filename, jar)
        if digest != jar.sha256:
            raise Refused(
                f"{jar_folder / jar.filename} is not the expected jar: found {digest}, expected {jar.sha256}",
                hint,
            )


def _digest(path: Path, jar: Jar) -> str:
    try:
        if path.stat().st_size != jar.size_bytes:
            return f"{path.stat().st_size} of {jar.size_bytes} bytes"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "no file"


def fetch(jars: Sequence[Jar], target: Path, advance: Advance) -> None:
    """Download the jars into a folder of the cache: all of them, checked, or none.

    Raises:
        Refused: a download failed, or a jar differs from its list.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as scratch:
        # A separate repository: an interrupted jgo leaves a partial file, which ~/.m2 would keep.
        repository, checked = Path(scratch, "repository"), Path(scratch, "jars")
        checked.mkdir()
        for jar, path in zip(jars, _download(jars, repository, advance), strict=True):
            path.replace(checked / jar.filename)
        check(jars, checked, "download again from another network; a proxy may have changed the file")
        shutil.rmtree(target, ignore_errors=True)
        checked.replace(target)


def _download(jars: Sequence[Jar], repository: Path, advance: Advance) -> list[Path]:
    """Download each coordinate separately: to resolve the tree of POMs would take four times as long."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - only the first run needs it
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - the same
    except ImportError as error:
        raise Refused(
            f"Kafka's jars are downloaded with jgo, which is missing: {error}",
            "pip install 'anagram-stream[embedded]'",
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
                f"Kafka could not be downloaded from Maven Central: {error}", _NETWORK_HINT
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # pending downloads, after a failure or Ctrl-C


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Suppress the log of a library: its warnings are about checksums that `check` verifies."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
