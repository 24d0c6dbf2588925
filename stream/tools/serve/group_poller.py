"""Polls the lag of the group and the readiness of workers in a thread."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import orjson

from stream.config import Settings
from stream.errors import StreamError
from stream.tools.kafka.group import Group, PartitionLag
from stream.tools.kafka.group_reader import GroupReader

_POLLED_S = 1.0
_WORKER_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class WorkerReadiness:
    """The readiness that a worker reports; `ready` is None if it does not respond."""

    url: str
    ready: bool | None
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """The latest state; `unknown` states why group and lags are unknown."""

    group: Group | None = None
    lags: Sequence[PartitionLag] = ()
    unknown: str | None = "not polled yet"
    workers: Sequence[WorkerReadiness] = field(default_factory=tuple)


NOT_ASKED = GroupSeen()


class GroupPoller:
    """Polls until it is closed.

    Attributes:
        seen: the latest state.
    """

    def __init__(self, settings: Settings, worker_urls: Sequence[str]) -> None:
        self.seen = NOT_ASKED
        self._settings = settings
        self._urls = worker_urls
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="group", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(10)

    def _run(self) -> None:
        reader: GroupReader | None = None
        while not self._closed.is_set():
            workers = [_readiness(url) for url in self._urls]
            try:
                reader = reader or GroupReader(self._settings)
                self.seen = GroupSeen(*reader.read(), unknown=None, workers=workers)
            except StreamError as why:  # access denied, or the coordinator is unavailable: the view continues
                reader = None
                self.seen = GroupSeen(unknown=str(why), workers=workers)
            self._closed.wait(_POLLED_S)


def _readiness(url: str) -> WorkerReadiness:
    try:
        with urlopen(f"{url.rstrip('/')}/healthz/ready", timeout=_WORKER_S_MAX) as response:  # noqa: S310 - of the operator
            body = orjson.loads(response.read())
    except HTTPError as error:  # 503: the body states why
        try:
            body = orjson.loads(error.read())
        except (orjson.JSONDecodeError, OSError):
            return WorkerReadiness(url, None, [f"status {error.code}"])
    except (URLError, OSError, orjson.JSONDecodeError, ValueError) as error:
        return WorkerReadiness(url, None, [_why(error)])
    if not isinstance(body, dict) or not isinstance(body.get("ready"), bool):
        return WorkerReadiness(url, None, ["it is not a worker"])
    return WorkerReadiness(url, body["ready"], [str(each) for each in body.get("reasons", ())])


def _why(error: Exception) -> str:
    """Return the message of the operating system, without names of Python classes."""
    cause = getattr(error, "reason", error)
    return getattr(cause, "strerror", None) or str(cause)
