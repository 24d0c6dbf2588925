"""Writes an SBOM (CycloneDX, JSON) of what a wheel installs, with pinned versions, and validates it.

    hatch run release:sbom dist/anagram_stream-0.1.0-py3-none-any.whl --extra serve --output sbom-image.json

The SBOM describes an installed environment, not a list of requirements: the wheel is installed as the image
installs it. It does not include the image's Debian packages; the attestation of `docker buildx build
--sbom=true` does.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(wheel: Path, extras: list[str], folder: Path) -> Path:
    """Install a wheel and nothing else, not even pip, in a new environment; return its interpreter."""
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    options = ["install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, *options, *constraints, wanted], check=True)
    return python


def describe(python: Path, output: Path) -> None:
    """Describe an environment, without times and random numbers; fail if the result violates the schema."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", str(python)]
    root = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application"]
    options = ["--spec-version", "1.6", "--output-reproducible", "--short-PURLs", "--validate"]
    subprocess.run([*command, *root, *options, "--output-file", str(output)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extra", action="append", default=[], help="extra of the wheel; repeatable")
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = install(chosen.wheel.resolve(), chosen.extra, Path(folder) / "environment")
        describe(python, chosen.output.resolve())


if __name__ == "__main__":
    main()
