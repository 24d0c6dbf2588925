"""Builds the image with its labels, on a base that is pinned by digest if a registry responds.

python ops/release/build_image.py --tag anagram-stream:local [-- options of `docker build`]
"""

import argparse
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "ops/docker/Dockerfile"
REGISTRY_S_MAX = 120


def output_of(*command: str, timeout_s: float = 30) -> str:
    """Return the output of a command; empty if it fails or hangs."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def default_of(argument: str) -> str:
    """Return the default of a build argument in the Dockerfile."""
    match = re.search(rf"^ARG {argument}=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"the Dockerfile has no default for {argument}"
    return match[1]


def version() -> str:
    """Return the version without importing the package, whose dependencies may not be installed."""
    text = (ROOT / "stream/__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert match
    return match[1]


def revision() -> str:
    """Return the commit, with `-dirty` if the checkout differs from it."""
    commit = output_of("git", "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-dirty" if output_of("git", "status", "--porcelain") else commit


def digest_of(image: str) -> str:
    """Return the digest `sha256:…` of an image from its registry; empty if no registry responds.

    `docker pull` works with every version of Docker, unlike `buildx imagetools`; and a build needs the base.
    """
    output_of("docker", "pull", "--quiet", image, timeout_s=REGISTRY_S_MAX)
    digests = output_of("docker", "image", "inspect", "--format", "{{json .RepoDigests}}", image)
    return json.loads(digests)[0].partition("@")[2] if digests not in {"", "null", "[]"} else ""


def build_arguments(base: str, digest: str, created: datetime) -> dict[str, str]:
    arguments = {"VERSION": version(), "REVISION": revision(), "CREATED": f"{created:%Y-%m-%dT%H:%M:%SZ}"}
    return arguments | ({"BASE": f"{base}@{digest}"} if digest else {})


def build_command(tag: str, base: str, digest: str, options: list[str], *, buildx: bool) -> list[str]:
    arguments = build_arguments(base, digest, datetime.now(UTC))
    command = ["docker", *(["buildx"] if buildx else []), "build", "--tag", tag, "--file", str(DOCKERFILE)]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    if digest:
        command += ["--label", f"org.opencontainers.image.base.digest={digest}"]
    return [*command, *options, str(ROOT)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tag", default="anagram-stream:local")
    parser.add_argument("--buildx", action="store_true", help="use `docker buildx build`, for attestations")
    parser.add_argument("--print", action="store_true", help="print the command instead of running it")
    parser.add_argument("options", nargs="*", help="passed on to `docker build`")
    chosen = parser.parse_args()
    base = default_of("BASE")
    digest = digest_of(base)
    pinned = f"base {base}@{digest}" if digest else f"no registry responds: base {base} by tag, not pinned"
    sys.stderr.write(f"{pinned}\n")
    command = build_command(chosen.tag, base, digest, chosen.options, buildx=chosen.buildx)
    if chosen.print:
        sys.stdout.write(json.dumps(command) + "\n")
        return 0
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
