"""A service with its own view, without Kafka."""

import asyncio
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from starlette.testclient import TestClient

from stream.config import Settings, load_settings
from stream.core.dictionary import build_index
from stream.store.view import ViewStore
from stream.tools.kafka.group import Group, Member, PartitionLag
from stream.tools.serve.app import make_app
from stream.tools.serve.group_poller import GroupPoller, GroupSeen, WorkerReadiness
from stream.tools.serve.outcomes import DEAD_LETTER, RESULT, ReadOutcome
from stream.tools.serve.problems import ProblemRaised
from stream.tools.serve.service import Service
from stream.tools.serve.signal import ViewSignal
from stream.tools.serve.submitter import InputPosition, Submitter
from stream.tools.serve.view import View

INDEX = build_index(["act", "cat", "dog", "god", "listen", "silent"])
MIB = 1024 * 1024
MEMBER = Member("id", "worker-1", "/127.0.0.1", [0])
SEEN = GroupSeen(
    Group("stable", "consumer", [MEMBER]),
    [PartitionLag(0, 0, 5, 9, 9, 4, 1.5, MEMBER), PartitionLag(1, 0, None, 0, 0, 0, None, None)],
    None,
    [WorkerReadiness("http://w", ready=False, reasons=["restoring"])],
)


@dataclass
class FakeGroup:
    """A fake group poller with a fixed observation."""

    seen: GroupSeen = SEEN


@dataclass
class FakeSubmitter:
    """Keeps the submitted texts, as if they were on partition 0."""

    submitted: list[tuple[str, str]] = field(default_factory=list)
    refusal: ProblemRaised | None = None

    async def submit(self, blob_id: str, text: str) -> InputPosition:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append((blob_id, text))
        return InputPosition(0, len(self.submitted) - 1)


@dataclass
class World:
    """A service, and the parts of it that a test changes."""

    settings: Settings
    view: View
    service: Service
    submitter: FakeSubmitter
    client: TestClient

    def count(self, partition: int, **totals: int) -> None:
        """Apply totals of a partition, and notify the view."""
        topic = self.settings.count_topic
        changes = {signature.encode(): b"%d" % total for signature, total in totals.items()}
        self.view.apply_totals(partition, changes, self.view.positions.get((topic, partition), 0) + 2)
        self.view.applied()

    def add(self, kind: bytes, partition: int, offset: int, outcome: ReadOutcome) -> None:
        self.view.apply_outcomes(kind, partition, [(offset, outcome)], offset + 2)
        self.view.applied()

    def add_result(self, blob_id: str, source: tuple[int, int], counts: dict[str, int], offset: int) -> None:
        place = {"topic": self.settings.input_topic, "partition": source[0], "offset": source[1]}
        body = {"blob_id": blob_id, "anagram_counts": counts, "words": sum(counts.values()), "source": place}
        value = struct.pack(">q", 1_700_000_000_000) + orjson.dumps(body)
        self.add(RESULT, source[0], offset, ReadOutcome(blob_id.encode(), source, value))

    def add_dead_letter(self, blob_id: str, source: tuple[int, int], reason: str, offset: int) -> None:
        place = {"topic": self.settings.input_topic, "partition": source[0], "offset": source[1]}
        body: dict[str, Any] = {
            **dict.fromkeys(("stage", "attempts", "failed_at", "message", "value_bytes")),
            "blob_id": blob_id,
            "reason": reason,
            "fingerprint": "0a1b2c3d",
            "source": place,
        }
        value = struct.pack(">q", -1) + orjson.dumps(body)
        self.add(DEAD_LETTER, source[0], offset, ReadOutcome(blob_id.encode(), source, value, reason))

    def reach_the_end(self) -> None:
        topics = (self.settings.count_topic, *self.view.outcome_topics.values())
        for topic in topics:
            self.view.reached.measured(topic, 0.0, {})
        self.view.applied()


def make_world(tmp_path: Path, *, submit: bool = True, **settings: Any) -> World:
    chosen = load_settings(serve_submit=submit, state_dir=tmp_path, **settings)
    view = View(chosen, ViewStore(tmp_path / "view", chosen.serve_outcomes_mib * MIB))
    submitter = FakeSubmitter()
    service = Service(
        settings=chosen,
        view=view,
        words=INDEX.anagrams,
        digest_differs=lambda: False,
        group=cast("GroupPoller", FakeGroup()),
        signal=ViewSignal(asyncio.new_event_loop()),
        submitter=cast("Submitter", submitter) if submit else None,
        topic_ids=dict.fromkeys(view.outcome_topics.values(), "id"),
        is_closing=lambda: False,
    )
    service.signal._loop.close()
    return World(chosen, view, service, submitter, TestClient(make_app(service), base_url="http://localhost"))
