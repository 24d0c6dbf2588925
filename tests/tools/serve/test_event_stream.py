import asyncio
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.serving import World, make_world

from stream.tools.serve import shown
from stream.tools.serve.events import OUTCOMES, STATUS, TOTALS, EventStream
from stream.tools.serve.signal import ViewSignal


class Event(NamedTuple):
    name: str
    data: Any
    id: str


def parsed(stream: bytes) -> list[Event]:
    events = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line[1:])
        if fields.get("event"):
            events.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return events


def first_id(stream: bytes) -> str:
    return stream.decode().split("\n\n")[0].split("id: ")[1]


async def _read(
    world: World, last_id: str | None, wanted: list[str], rate: float | None, seconds: float
) -> bytes:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    stream = EventStream(
        world.view,
        ViewSignal(loop),
        world.service.tag,
        wanted,
        rate,
        lambda: shown.status(world.service).model_dump(),
        lambda version, limit: [
            shown.signature_total(each, world.service.words).model_dump()
            for each in world.view.totals.changed_since(version, limit)
        ],
        shown.outcome,
        lambda: loop.time() >= deadline,
    )
    return b"".join([chunk async for chunk in stream.run(last_id)])


def read(
    world: World,
    last_id: str | None = None,
    *,
    wanted: str = OUTCOMES,
    rate: float | None = None,
    seconds: float = 0.4,
) -> bytes:
    return asyncio.run(_read(world, last_id, wanted.split(","), rate, seconds))


def sources(events: list[Event]) -> list[int]:
    return [
        (each.get("result") or each["dead_letter"])["source"]["offset"]
        for event in events
        for each in event.data.get("outcomes", ())
    ]


def fill(world: World, first: int, last: int) -> None:
    for offset in range(first, last):
        if offset % 5 == 4:
            world.add_dead_letter("x", (0, offset), "bad-json", offset)
        else:
            world.add_result("x", (0, offset), {"cat": 1}, offset)


def test_stream_resumes_after_any_event_without_a_gap(world: World) -> None:
    """Outcomes that were committed while no client was connected are included."""
    fill(world, 0, 10)
    begun = read(world)
    assert sources(parsed(begun)) == []
    fill(world, 10, 250)
    events = parsed(read(world, first_id(begun)))
    assert sorted(sources(events)) == list(range(10, 250))
    assert {event.name for event in events} == {OUTCOMES}
    for position, event in enumerate(events):
        rest = parsed(read(world, event.id, seconds=0.1))
        assert sorted(sources(rest)) == sorted(sources(events[position + 1 :]))


def test_results_and_dead_letters_of_a_partition_are_each_in_the_order_of_their_topic(world: World) -> None:
    begun = read(world, seconds=0.05)
    fill(world, 0, 60)
    seen = sources(parsed(read(world, first_id(begun))))
    assert [offset for offset in seen if offset % 5 == 4] == list(range(4, 60, 5))
    assert [offset for offset in seen if offset % 5 != 4] == [n for n in range(60) if n % 5 != 4]


@pytest.mark.parametrize("last_id", ["", "x", "ffffffff.r0-1", "ffffffff" + ".r0-1" * 99])
def test_id_of_other_topics_is_a_gap_and_the_stream_continues(world: World, last_id: str) -> None:
    fill(world, 0, 10)
    (gap,) = parsed(read(world, last_id))
    assert gap.name == "gap"
    assert "other topics" in gap.data["detail"]


def test_outcomes_that_are_no_longer_kept_are_a_gap(tmp_path: Path) -> None:
    world = make_world(tmp_path, serve_outcomes_mib=1)
    begun = read(world, seconds=0.05)
    words = {"".join(random.Random(n).choices("abcdefghij", k=60)): 1 for n in range(100)}
    for offset in range(1_000):
        world.add_result("x", (0, offset), {f"{word}{offset}": 1 for word in words}, offset)
    events = parsed(read(world, first_id(begun), seconds=2.0))
    expected = 0
    for event in events:
        if event.name == "gap":
            assert "no longer kept" in event.data["detail"]
            expected = -1
        for offset in sources([event]):
            assert expected in {-1, offset}, "outcomes are missing without a gap"
            expected = offset + 1
    assert events[0].name == "gap"
    assert expected == 1_000
    world.view.close()


def test_rate_skips_to_the_end_and_reports_it(world: World) -> None:
    begun = read(world, seconds=0.05)
    fill(world, 0, 200)
    events = parsed(read(world, first_id(begun), rate=10.0, seconds=1.2))
    assert 1 <= len(sources(events)) <= 15
    assert any(event.data["skipped"] for event in events)


def test_only_changed_totals_are_sent(world: World) -> None:
    world.count(0, act=5, dgo=1)
    first = asyncio.run(_changing(world))
    (event,) = [event for event in first if event.name == TOTALS]
    assert event.data == {"totals": [{"signature": "act", "total": 9, "words": ["act", "cat"]}], "words": 10}


async def _changing(world: World) -> list[Event]:
    reading = asyncio.create_task(_read(world, None, [TOTALS], None, 0.8))
    await asyncio.sleep(0.1)
    world.count(0, act=9)
    return parsed(await reading)


def test_status_is_that_of_the_api(world: World) -> None:
    (event,) = parsed(read(world, wanted=f"{STATUS},{TOTALS}"))
    status = world.client.get("/v1/status").json()
    assert {**event.data, "freshness": None} == {**status, "freshness": None}


def test_unknown_event_is_refused(world: World) -> None:
    assert world.client.get("/v1/stream?events=nothing").status_code == 422
    assert world.client.get("/v1/stream?rate=0").status_code == 422
