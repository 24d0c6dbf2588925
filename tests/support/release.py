"""The parts of a release (wheel, sdist, image), and the installed Pythons and tools that test them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from support.ops import ROOT, docker, image

DOCKERFILE = ROOT / "ops/docker/Dockerfile"
IMAGE = "anagram-stream:test"
BASE = "python:3.11-slim-bookworm"
CONSTRAINTS = ROOT / "constraints.txt"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = ("serve", "client", "embedded", "bench", "plots")
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
FETCH_S_MAX = 240
BUILD_S_MAX = 500
PIP = (sys.executable, "-m", "pip")
PIP_OPTIONS = (
    *("--quiet", "--disable-pip-version-check", "--only-binary=:all:"),
    *("--constraint", str(CONSTRAINTS)),
)


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.version} ({self.path})"


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def own_environment(**more: str) -> dict[str, str]:
    """Return an environment without settings, and without the paths of the checkout."""
    foreign = ("STREAM_", "PYTHON", "PIP_CONSTRAINT", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


def run(*command: object, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
    arguments = [str(argument) for argument in command]
    environment = own_environment(**env)
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def must(*command: object, cwd: Path | None = None, **env: str) -> str:
    """Run a command, which must succeed; return its output."""
    done = run(*command, cwd=cwd, **env)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


@cache
def interpreters() -> tuple[Interpreter, ...]:
    """Find every installed Python from 3.11 on: those on PATH, of Debian and of pyenv."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = [Path(folder) / name for folder in folders for name in names]
    paths += sorted(pyenv.glob("versions/3.*/bin/python"))
    known: dict[str, Interpreter] = {}
    for path in paths:
        if path.is_file() and "shims" not in path.parts and (real := str(path.resolve())) not in known:
            done = run(real, "-c", "import platform; print(platform.python_version())")
            version = done.stdout.strip()
            if done.returncode == 0 and numbers(version) >= [3, 11]:
                known[real] = Interpreter(real, version)
    return tuple(sorted(known.values(), key=lambda each: numbers(each.version)))


def install(python: Path, *wanted: object) -> "subprocess.CompletedProcess[str]":
    """Install into an environment that has no pip."""
    return run(*PIP, "--python", python, "install", "--no-compile", *PIP_OPTIONS, *wanted)


def empty_environment(interpreter: str, folder: Path) -> Path:
    must(interpreter, "-m", "venv", "--without-pip", folder)
    return folder / "bin/python"


@dataclass(frozen=True)
class Tools:
    """The hatch environment `release`, made with pip, so that the suite does not need hatch."""

    python: Path

    def command(self, name: str) -> Path:
        return self.python.parent / name


@cache
def tools() -> Tools:
    """Return the release tools, which are installed once, in the user's cache."""
    wanted = project()["tool"]["hatch"]["envs"]["release"]["dependencies"]
    pinned = [*wanted, "hatchling", "pip"]
    digest = sha256("\n".join([sys.version, *pinned, CONSTRAINTS.read_text(encoding="utf-8")]).encode())
    folder = _cache() / f"tools-{digest.hexdigest()[:12]}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        done = install(empty_environment(sys.executable, folder), *pinned)
        if done.returncode:
            pytest.skip(f"the release tools cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "complete").touch()
    return Tools(python)


@cache
def actionlint() -> str:
    """Return the path of actionlint, which is installed once, in the user's cache."""
    folder = _cache() / f"actionlint-{ACTIONLINT.rpartition('@')[2]}"
    path = folder / "actionlint"
    if not path.exists():
        if shutil.which("go") is None:
            pytest.skip("no Go on PATH: actionlint comes as a Go module")
        done = subprocess.run(
            ["go", "install", ACTIONLINT], env={**os.environ, "GOBIN": str(folder)},
            capture_output=True, text=True, timeout=FETCH_S_MAX, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"go install failed: {done.stderr.strip().splitlines()[-1]}")
    return str(path)


def _cache() -> Path:
    folder = Path(platformdirs.user_cache_dir("anagram-stream", appauthor=False)) / "release"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_script(name: str) -> Any:
    """Load a script of ops/release as a module."""
    spec = importlib.util.spec_from_file_location(f"release_{name}", ROOT / f"ops/release/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@cache
def built_image() -> str:
    """Build the image from this checkout, once per run; skip the test if that is not possible."""
    if not docker():
        pytest.skip("no Docker engine")
    if not image(BASE, pull=True):
        pytest.skip(f"the image {BASE} is not available")
    script = ROOT / "ops/release/build_image.py"
    # A build that needs packages uses the host's network: some engines have no other Internet access.
    command = [sys.executable, str(script), "--tag", IMAGE, "--", "--network", "host"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S_MAX, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return IMAGE


def build(folder: Path) -> tuple[Path, Path]:
    """Build wheel and sdist as `hatch build` does; return both."""
    must(tools().python, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


if __name__ == "__main__":  # a run of the whole suite does not show what passing tests print
    for each in interpreters():
        supported = "" if each.minor in SUPPORTED else ", which is not supported"
        sys.stdout.write(f"the wheel is tested on Python {each}{supported}\n")
    for absent in sorted({*SUPPORTED} - {each.minor for each in interpreters()}, key=numbers):
        sys.stdout.write(f"Python {absent} is not installed: only the existence of all wheels is checked\n")
