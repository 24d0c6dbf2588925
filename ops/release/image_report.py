"""Reports what an image adds to its base, and how long it takes to start.

    python ops/release/image_report.py anagram-stream:local

Times are measured from `docker run`, as the median of several runs. Without --bootstrap-servers the worker
has no Kafka: then `/healthz/live` returns 503 with the reason, and the time until that response is measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import urlopen

START_S_MAX = 60
POLL_S = 0.02
BASE_NAME = "org.opencontainers.image.base.name"


@dataclass(frozen=True)
class Report:
    """Measurements of an image.

    Attributes:
        live_status: HTTP status of the first response.
    """

    image: str
    base: str
    image_mb: float
    added_mb: float
    version_s: float
    live_s: float
    live_status: int


def docker(*arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def size_mb(image: str) -> float:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def base_of(image: str) -> str:
    return docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{BASE_NAME}"}}}}', image)


def version_s(image: str) -> float:
    began = time.monotonic()
    docker("run", "--rm", image, "--version")
    return time.monotonic() - began


def first_answer(url: str, until: float) -> int:
    """Return the HTTP status of the first response, which may be an error status."""
    while time.monotonic() < until:
        try:
            with urlopen(url, timeout=1) as response:  # noqa: S310 - an address of this machine
                return int(response.status)
        except HTTPError as error:
            return error.code
        except OSError:
            time.sleep(POLL_S)
    raise TimeoutError(f"no response from {url} within {START_S_MAX} s")


def live_s(image: str, options: list[str]) -> tuple[float, int]:
    began = time.monotonic()
    container = docker("run", "--detach", "--publish", "127.0.0.1::8080", *options, image, "worker")
    try:
        address = docker("port", container, "8080/tcp").splitlines()[0]
        status = first_answer(f"http://{address}/healthz/live", began + START_S_MAX)
        return time.monotonic() - began, status
    finally:
        docker("rm", "--force", "--volumes", container)


def measure(image: str, runs: int, options: list[str]) -> Report:
    base = base_of(image)
    versions = [version_s(image) for _ in range(runs)]
    lives = [live_s(image, options) for _ in range(runs)]
    whole = size_mb(image)
    return Report(
        image,
        base,
        round(whole, 1),
        round(whole - size_mb(base), 1),
        round(statistics.median(versions), 2),
        round(statistics.median(seconds for seconds, _ in lives), 2),
        lives[-1][1],
    )


def show(report: Report) -> str:
    live = HTTPStatus(report.live_status)
    return (
        f"{report.image}: {report.image_mb:.0f} MB, {report.added_mb:.0f} MB of it on top of {report.base}\n"
        f"from `docker run` to the end of `anagram-stream --version`: {report.version_s} s\n"
        f"from `docker run` to the response {live} {live.phrase} of /healthz/live: {report.live_s} s\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", nargs="?", default="anagram-stream:local")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--network", help="Docker network in which --bootstrap-servers is reachable")
    parser.add_argument("--bootstrap-servers", help="Kafka brokers, as seen from the container")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    options = ["--network", chosen.network] if chosen.network else []
    if chosen.bootstrap_servers:
        options += ["--env", f"STREAM_BOOTSTRAP_SERVERS={chosen.bootstrap_servers}"]
    report = measure(chosen.image, chosen.runs, options)
    sys.stdout.write(json.dumps(asdict(report)) + "\n" if chosen.json else show(report))


if __name__ == "__main__":
    main()
