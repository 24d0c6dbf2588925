"""Checks, while a command reads or waits, that the cluster responds and is still the same one."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from confluent_kafka import TopicCollection

from stream.config import Settings
from stream.errors import Fatal, Refused, Retriable, StreamError
from stream.kafka.clients import make_admin
from stream.kafka.futures import existing_results, result_of

REQUEST_S_MAX = 2.5
HEALTHY_WAIT_S, FAILING_WAIT_S = 1.0, 0.3  # between two requests: two that fail take less than 10 s
FAILURES_SAID_AT = 2  # in a row: a broker that has responded before may miss one
REPEATED_S = 6.0  # so that, with the time of a request, no silence exceeds 10 s
MISSING_S_MAX = 10.0  # a restarting broker may not know all topics at once
EXPLAIN_S_MAX = 20.0
DELAY_S = 1.0  # a command without topics to watch that finishes sooner needs no client
AGAIN = "run the command again to read"


class ClusterWatch:
    """Reports an unavailable broker and its return; detects another cluster and recreated topics.

    A thread sends requests with its own client, because a call of the command's client may block for long.
    It compares the ids of the cluster and of `topics` with those of the first response. Without topics it
    only reports availability.
    """

    def __init__(self, settings: Settings, topics: Sequence[str], say: Callable[[str], None]) -> None:
        self._settings = settings
        self._topics = list(topics)
        self._say = say
        self._ids: dict[str, str] = {}
        self._answered_at = self._said_at = 0.0
        self._failures = 0  # in a row
        self._failing_since: float | None = None
        self._missing_since: float | None = None
        self._changed: Refused | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="cluster-watch", daemon=True).start()

    @property
    def is_waiting(self) -> bool:
        """Whether the broker is unavailable, and this was reported."""
        return self._said_at > 0

    def check(self) -> None:
        """Return if cluster and topics are the same as before.

        Raises:
            Refused: it is another cluster, or a topic was deleted or created again.
        """
        if self._changed is not None:
            raise self._changed

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Replace a Fatal that another cluster or topic explains: the client only reports the symptom."""
        try:
            yield
        except Fatal:
            if not self._ids:  # no cluster has responded, so none was replaced
                raise
            began_at = monotonic()
            while self._answered_at < began_at and monotonic() < began_at + EXPLAIN_S_MAX:
                self.check()
                self._closed.wait(0.1)
            self.check()
            raise

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _run(self) -> None:
        admin = None
        wait_s = 0.0 if self._topics else DELAY_S
        while not self._closed.wait(wait_s) and self._changed is None:
            try:
                admin = admin or make_admin(self._settings)
                ids = {"": result_of(admin.describe_cluster(request_timeout=REQUEST_S_MAX)).cluster_id}
                if self._topics:
                    topics = TopicCollection(self._topics)
                    described = existing_results(admin.describe_topics(topics, request_timeout=REQUEST_S_MAX))
                    ids |= {name: str(topic.topic_id) for name, topic in described.items()}
            except Retriable as why:
                if self._closed.is_set():
                    return
                self._report_failure(str(why))
                admin, wait_s = None, FAILING_WAIT_S  # as in topic_watch.py
            except StreamError:
                return  # the command gets the same error
            else:
                self._report_answer()
                self._compare(ids)
                wait_s = HEALTHY_WAIT_S

    def _report_failure(self, why: str) -> None:
        now, servers = monotonic(), self._settings.bootstrap_servers
        self._failures += 1
        self._failing_since = self._failing_since or now
        said_at = FAILURES_SAID_AT if self._ids else 1
        if self._failures == said_at:
            self._say(f"waiting for Kafka at {servers}: {why}")
        elif self._failures > said_at and now - self._said_at >= REPEATED_S:
            self._say(f"no response from {servers} for {now - self._failing_since:.0f} s; still waiting")
        else:
            return
        self._said_at = now

    def _report_answer(self) -> None:
        if self.is_waiting:
            self._say("Kafka is available again")
        self._failing_since, self._said_at, self._failures = None, 0.0, 0

    def _compare(self, ids: dict[str, str]) -> None:
        """Compare the ids of the cluster and the topics with the first ones."""
        servers = self._settings.bootstrap_servers
        now, names = monotonic(), ", ".join(name for name in self._topics if name not in ids)
        cluster_id = self._ids.setdefault("", ids[""])
        if ids[""] != cluster_id:
            self._changed = Refused(
                f"another Kafka cluster responds at {servers} (id {cluster_id} before, "
                f"{ids['']} now): what this command has read belongs to the old one",
                f"{AGAIN} the new cluster, or set STREAM_BOOTSTRAP_SERVERS to the address of the old one",
            )
            return
        for name in self._topics:
            before = self._ids.setdefault(name, ids[name]) if name in ids else None
            if before is not None and ids[name] != before:
                self._changed = Refused(
                    f"the topic {name} was deleted and created again (id {before} before, {ids[name]} now): "
                    "what this command has read belongs to the old one",
                    f"{AGAIN} the new topic; for the effect on the totals, run: anagram-stream offsets show",
                )
        if not names:
            self._missing_since, self._answered_at = None, now
        elif self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= MISSING_S_MAX:
            is_one = ", " not in names
            what = f"the topic {names} was deleted" if is_one else f"the topics {names} were deleted"
            again = f"{AGAIN} {'it once it exists' if is_one else 'them once they exist'} again"
            self._changed = Refused(what, again)
