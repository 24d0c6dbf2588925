"""The stream of server-sent events: outcomes, totals that changed, and the status."""

import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from stream.tools.serve.cursor import decode_cursor, encode_cursor
from stream.tools.serve.signal import ViewSignal
from stream.tools.serve.view import Outcome, View

OUTCOMES, TOTALS, STATUS = "outcomes", "totals", "status"
_EVENT_OUTCOMES_MAX = 100
_TOTALS_MAX = 50
_TOTALS_S, _STATUS_S, _KEEPALIVE_S = 0.5, 2.0, 15.0
_RETRY_MS = 1_000
_WAIT_S = 0.25

Fields = dict[str, Any]


@dataclass(slots=True)
class EventStream:
    """One reader of the stream. It reads from the view at its own pace, so nothing is queued for it.

    Attributes:
        tag: names the topics, see `encode_cursor`.
        wanted: names of the events to send.
        rate: maximum outcomes per second; above it, the stream skips to the end. None for no limit.
        status, shown_totals, shown_outcome: return the content of events.
        is_closing: whether the server stops.
    """

    view: View
    signal: ViewSignal
    tag: str
    wanted: Collection[str]
    rate: float | None
    status: Callable[[], Fields]
    shown_totals: Callable[[int, int], list[Fields]]
    shown_outcome: Callable[[Outcome], Fields]
    is_closing: Callable[[], bool]
    _positions: dict[tuple[bytes, int], int] = field(default_factory=dict)
    _allowed: float = 0.0

    async def run(self, last_id: str | None) -> AsyncIterator[bytes]:
        """Yield the events after the event `last_id`, or from now on."""
        gap = self._start(last_id)
        yield b"retry: %d\nid: %b\n\n" % (_RETRY_MS, encode_cursor(self.tag, self._positions).encode())
        if gap:
            yield _event("gap", {"detail": gap})
        version, sent_at = self.view.totals.version, time.monotonic()
        totals_at = status_at = allowed_at = 0.0
        while not self.is_closing():
            now = time.monotonic()
            chunks: list[bytes] = []
            if OUTCOMES in self.wanted:
                self._allowed = min(self.rate or 0.0, self._allowed + (now - allowed_at) * (self.rate or 0.0))
                allowed_at = now
                chunks += self._outcome_events()
            if TOTALS in self.wanted and now - totals_at >= _TOTALS_S and version != self.view.totals.version:
                changed = self.shown_totals(version, _TOTALS_MAX)
                version, totals_at = self.view.totals.version, now
                chunks.append(_event(TOTALS, {"totals": changed, "words": self.view.totals.words}))
            if STATUS in self.wanted and now - status_at >= _STATUS_S:
                status_at = now
                chunks.append(_event(STATUS, self.status()))
            if not chunks and now - sent_at >= _KEEPALIVE_S:
                chunks.append(b": still here\n\n")
            if chunks:
                sent_at = now
                yield b"".join(chunks)
            if not self._has_more():
                await self.signal.wait(_WAIT_S)

    def _start(self, last_id: str | None) -> str:
        """Set the positions; return why events are missing, or an empty string."""
        kinds = {topic: kind for kind, topic in self.view.outcome_topics.items()}
        now = {
            (kinds[topic], partition): position
            for (topic, partition), position in self.view.positions.items()
            if topic in kinds
        }
        if last_id is None:
            self._positions = now
            return ""
        positions = decode_cursor(self.tag, last_id)
        if positions is None:
            self._positions = now
            return "the last event id belongs to other topics; the stream continues with new outcomes"
        self._positions = {log: positions.get(log, 0) for log in now}
        return ""

    def _has_more(self) -> bool:
        topics = self.view.outcome_topics
        return (
            OUTCOMES in self.wanted
            and self.rate is None
            and any(
                offset < self.view.positions.get((topics[kind], p), 0)
                for (kind, p), offset in self._positions.items()
            )
        )

    def _outcome_events(self) -> list[bytes]:
        """Return the next outcomes, an event per partition, and move the positions past them."""
        events: list[bytes] = []
        for (kind, partition), offset in list(self._positions.items()):
            end = self.view.positions.get((self.view.outcome_topics[kind], partition), 0)
            if offset >= end:
                continue
            limit = _EVENT_OUTCOMES_MAX if self.rate is None else min(_EVENT_OUTCOMES_MAX, int(self._allowed))
            if self.rate is None and not self.view.is_kept_from(kind, partition, offset):
                events.append(_event("gap", {"detail": "the oldest missed outcomes are no longer kept"}))
            taken = list(islice(self.view.outcomes_from(kind, partition, offset), limit))
            is_skipping = self.rate is not None and len(taken) == limit
            self._allowed -= len(taken)
            all_read = len(taken) < limit or is_skipping
            self._positions[kind, partition] = end if all_read else taken[-1].offset + 1
            if taken:
                shown = [self.shown_outcome(each) for each in taken]
                content = {"outcomes": shown, "skipped": is_skipping}
                events.append(_event(OUTCOMES, content, encode_cursor(self.tag, self._positions)))
        return events


def _event(name: str, content: Fields, event_id: str = "") -> bytes:
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return b"".join(
        [
            b"id: %b\n" % event_id.encode() if event_id else b"",
            b"event: %b\n" % name.encode(),
            b"data: ",
            body,
            b"\n\n",
        ]
    )
