import hashlib
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep

import pytest

from stream.broker import jars, jre, runtime
from stream.broker.fetch import Advance
from stream.broker.jars import Jar
from stream.errors import Misconfigured, Refused

CONTENT = {"org.example:one:1.0": b"first", "org.example:two_2.13:2.0": b"second"}
LISTED = tuple(
    Jar(coordinate, len(content), hashlib.sha256(content).hexdigest())
    for coordinate, content in CONTENT.items()
)
Downloaded = Callable[[Sequence[Jar], Path, Advance], list[Path]]


def downloading(content: dict[str, bytes]) -> Downloaded:
    """Return a function that downloads as jgo does."""

    def download(listed: Sequence[Jar], repository: Path, advance: Advance) -> list[Path]:
        repository.mkdir()
        paths = [repository / jar.filename for jar in listed]
        for jar, path in zip(listed, paths, strict=True):
            path.write_bytes(content[jar.coordinate])
            advance(jar.size_bytes)
        return paths

    return download


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars, "_download", downloading(CONTENT))
    target = jars.folder(tmp_path, jars.KAFKA_VERSION)
    jars.fetch(LISTED, target, lambda _: None)
    return target


@pytest.mark.parametrize("version", jars.versions())
def test_each_list_is_complete(version: str) -> None:
    listed = jars.listed(version)
    names = {jar.filename for jar in listed}
    assert {f"kafka_2.13-{version}.jar", f"kafka-clients-{version}.jar"} <= names
    assert len(names) == len(listed)
    assert any("slf4j-reload4j" in name or "log4j-slf4j-impl" in name for name in names), "no jar can log"
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in listed)


@pytest.mark.parametrize("version", jars.versions())
def test_all_modules_of_kafka_have_the_same_version(version: str) -> None:
    ours = [jar.coordinate for jar in jars.listed(version) if jar.coordinate.startswith("org.apache.kafka:")]
    assert {coordinate.split(":")[2] for coordinate in ours} == {version}


def test_the_newest_version_is_the_default() -> None:
    assert jars.versions()[-1] == jars.KAFKA_VERSION


def test_a_version_without_a_list_is_refused_and_the_hint_names_others() -> None:
    with pytest.raises(Misconfigured, match=r"does not support Kafka 2\.8\.0") as caught:
        jars.listed("2.8.0")
    assert jars.KAFKA_VERSION in caught.value.hint


def test_downloaded_jars_are_the_listed_ones(fetched: Path) -> None:
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {
        "one-1.0.jar": b"first",
        "two_2.13-2.0.jar": b"second",
    }
    jars.check(LISTED, fetched, "hint")


@pytest.mark.parametrize("wrong", [b"SECOND", b"longer than listed", b""])
def test_a_wrong_jar_is_refused_and_leaves_nothing(
    wrong: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_download", downloading({**CONTENT, "org.example:two_2.13:2.0": wrong}))
    with pytest.raises(Refused, match=r"two_2.13-2.0.jar is not the expected jar"):
        jars.fetch(LISTED, tmp_path / "kafka", lambda _: None)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jars, "_download", downloading(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        jars.fetch(LISTED, tmp_path / "kafka", interrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"firsT")])
def test_a_jar_that_changed_in_the_cache_is_refused(damage: Callable[[Path], None], fetched: Path) -> None:
    damage(fetched / "one-1.0.jar")
    with pytest.raises(Refused, match=r"one-1.0.jar") as caught:
        jars.check(LISTED, fetched, "download it again")
    assert caught.value.hint == "download it again"


def test_a_later_run_needs_no_network_and_no_jgo(
    fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(jars, "listed", lambda _: LISTED)
    monkeypatch.setattr(jre, "installed", lambda _: Path("java"))
    monkeypatch.setattr(jars, "fetch", pytest.fail)
    for name in ("jgo", "jgo.constants", "jgo.maven"):  # another test may have imported it
        monkeypatch.setitem(sys.modules, name, None)
    assert runtime.prepare().jars == tuple(fetched / jar.filename for jar in LISTED)


def test_without_jgo_the_hint_is_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jgo", "jgo.constants", "jgo.maven"):  # another test may have imported it
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Refused, match="jgo") as caught:
        jars.fetch(LISTED, tmp_path / "kafka", lambda _: None)
    assert "pip install" in caught.value.hint


def test_without_a_network_the_error_has_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jgo.constants.MAVEN_CENTRAL_URL", "http://127.0.0.1:1")
    with pytest.raises(Refused, match="could not be downloaded from Maven Central") as caught:
        jars.fetch(LISTED, tmp_path / "kafka", lambda _: None)
    assert "STREAM_BOOTSTRAP_SERVERS" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_two_first_runs_at_the_same_time_download_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches: list[Path] = []
    fetch = jars.fetch

    def slowly(listed: Sequence[Jar], target: Path, advance: Advance) -> None:
        fetches.append(target)
        sleep(0.3)
        fetch(listed, target, advance)

    monkeypatch.setattr(jars, "_download", downloading(CONTENT))
    monkeypatch.setattr(jars, "fetch", slowly)
    monkeypatch.setattr(jars, "listed", lambda _: LISTED)
    monkeypatch.setattr(runtime, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(jre, "installed", lambda _: Path("java"))
    runs = [threading.Thread(target=runtime.prepare) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(10)
    target = jars.folder(tmp_path, jars.KAFKA_VERSION)
    jars.check(LISTED, target, "hint")
    assert fetches == [target]
