"""Tests as users of the pytest plugin write them."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from stream.testing.plugin import FakeStream

pytest_plugins = ["pytester"]

USERS_TEST = """
def test_my_texts(anagram_stream):
    anagram_stream.submit("Listen, silent cat", key="a")
    anagram_stream.run()
    assert anagram_stream.results()[0]["anagram_counts"]["cat"] == 1
    assert anagram_stream.totals() == {"eilnst": 2, "act": 1}
"""


def test_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USERS_TEST)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_keys_headers_and_dead_letters_are_supported() -> None:
    stream = FakeStream()
    json_header = (("content-type", b"application/json"),)
    stream.submit(b'{"id": "mine", "text": "dog"}', headers=json_header, partition=1)
    stream.submit(b"\xff", partition=1)
    stream.submit("cat", key="k")
    stream.run()
    assert [result["blob_id"] for result in stream.results()] == ["k", "mine"]
    assert [letter["dead-letter.reason"] for letter in stream.dead_letters(1)] == ["undecodable"]
    assert stream.results(0)[0]["source"]["offset"] == 0


def test_dictionary_can_be_chosen() -> None:
    stream = FakeStream(partitions=1, words=["rat", "tar"])
    stream.submit("art")
    stream.run()
    assert stream.results()[0]["anagram_counts"] == {"rat": 1, "tar": 1}


def test_crash_and_transient_errors_change_no_result() -> None:
    stream = FakeStream()
    stream.fail_once("sink.reset_producer")
    stream.submit("cat")
    stream.run()
    stream.crash()
    stream.submit("act")
    stream.run()
    assert len(stream.results()) == 2
    assert stream.totals() == {"act": 2}


def test_dictionary_and_limits_are_those_of_a_worker_by_default() -> None:
    stream = FakeStream()
    stream.submit("cat", key="a")
    stream.submit("cat " * 5_000, key="b")
    stream.run()
    assert [result["anagram_counts"] for result in stream.results()] == [
        {"act": 1, "cat": 1, "tac": 1},
        {"act": 5_000, "cat": 5_000, "tac": 5_000},
    ]


@pytest.mark.parametrize("value", ["application/json", b"application/json"])
def test_headers_may_be_a_dict(value: str | bytes) -> None:
    """As with a producer of confluent-kafka."""
    stream = FakeStream()
    stream.submit('{"text": "cat"}', key=b"k", headers={"content-type": value, "other": None})
    stream.run()
    (result,) = stream.results()
    assert (result["blob_id"], result["words"]) == ("k", 1)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"headers": ["content-type"]}, "'content-type' is not a pair"),
        ({"headers": "text"}, "'t' is not a pair"),
        ({"headers": [("content-type", b"x", 1)]}, "is not a pair"),
        ({"headers": [(b"content-type", b"x")]}, "is not a pair"),
        ({"headers": {"size": 1}}, "the header size of a record must be str, bytes or None, not int"),
        ({"key": 1}, "the key of a record must be str, bytes or None, not int"),
        ({"value": {"text": "cat"}}, "the value of a record must be str, bytes or None, not dict"),
    ],
    ids=str,
)
def test_record_that_no_producer_sends_is_refused_at_once(parts: dict[str, Any], message: str) -> None:
    stream = FakeStream()
    with pytest.raises(TypeError, match=re.escape(message)):
        stream.submit(**{"value": "cat", **parts})
    assert stream.pipeline.ends() == [0, 0]


@pytest.mark.parametrize("partition", [-1, 2])
def test_partition_that_does_not_exist_is_refused(partition: int) -> None:
    with pytest.raises(ValueError, match=f"no partition {partition}: the input has partitions 0 to 1"):
        FakeStream().submit("cat", partition=partition)


# A project with a package of the same name, and its tests.
OWN_PACKAGE = {
    "stream/__init__.py": "ANSWER = 42",
    "stream/video.py": "def play(): return 'playing'",
    "tests/test_video.py": "from stream import video\ndef test_it(): assert video.play()",
}
OWN_MODULE = {
    "stream.py": "ANSWER = 42",
    "tests/test_answer.py": "import stream\ndef test_it(): assert stream.ANSWER == 42",
}
LOCATION = Path(import_module("anagram_stream_pytest").__file__ or "").parent


def run_tests(folder: Path, files: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a project's tests with this plugin installed and loaded by its entry point."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    metadata = folder.parent / "installed/other-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    entry = ENTRY_POINTS["anagram-stream"]
    (metadata / "entry_points.txt").write_text(f"[pytest11]\nother = {entry}\n")
    path = os.pathsep.join([str(metadata.parent), str(LOCATION)])
    # Plugins that are installed here are not loaded, because they may be of an earlier version.
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, "-p", entry, "-p", "no:cacheprovider"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


ENTRY_POINTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "entry-points"
]["pytest11"]
PYTEST = Path(sys.executable).with_name("pytest")


@pytest.mark.parametrize("files", [OWN_PACKAGE, OWN_MODULE], ids=["package", "module"])
@pytest.mark.parametrize("command", ["python -m pytest", "pytest with pythonpath"])
def test_project_with_a_package_of_the_same_name_runs_its_tests(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    if command == "python -m pytest":
        done = run_tests(tmp_path / "own", files, sys.executable, "-m", "pytest")
    else:
        ini = {"pytest.ini": "[pytest]\npythonpath = .\n"}
        done = run_tests(tmp_path / "own", files | ini, str(PYTEST))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_fixture_names_the_package_that_hides_its_own(tmp_path: Path) -> None:
    files = OWN_PACKAGE | {"tests/test_texts.py": USERS_TEST}
    done = run_tests(tmp_path / "own", files, sys.executable, "-m", "pytest")
    assert "1 passed, 1 error" in done.stdout
    assert f"imports another one, from {tmp_path / 'own/stream/__init__.py'}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_fixture_works_if_no_package_hides_it(tmp_path: Path) -> None:
    done = run_tests(tmp_path / "own", {"tests/test_texts.py": USERS_TEST}, sys.executable, "-m", "pytest")
    assert "1 passed" in done.stdout


USERS_CLUSTER_TEST = """
from confluent_kafka.admin import AdminClient, NewTopic

def test_my_topic_has_three_replicas(anagram_cluster):
    admin = AdminClient({"bootstrap.servers": anagram_cluster.bootstrap_servers, "log_level": 0})
    admin.create_topics([NewTopic("mine", 1, 3)])["mine"].result(30)
"""


@pytest.mark.broker
@pytest.mark.embedded
def test_fixture_of_a_cluster_has_three_nodes(tmp_path: Path) -> None:
    files = {"tests/test_service.py": USERS_CLUSTER_TEST}
    done = run_tests(tmp_path / "own", files, sys.executable, "-m", "pytest", "-W", "error")
    assert "1 passed" in done.stdout, done.stdout
