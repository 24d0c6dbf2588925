import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator
from support.serving import World, make_world

from stream.core.schemas import render
from stream.tools.serve.app import openapi

TOPICS = ("signature-counts", "anagram-results", "dead-letters")
UNKNOWN = {"age_ms": None, "offsets": {"signature-counts": {"0": 2, "1": 2}}}


def get(world: World, path: str, status: int = 200, **headers: str) -> Any:
    answer = world.client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == (
        "application/json" if status == 200 else "application/problem+json"
    )
    return answer.json()


def test_word_has_the_total_of_its_signature_over_all_partitions(world: World) -> None:
    world.count(0, act=5)
    world.count(1, act=2, dgo=1)
    word = {"word": "cat", "signature": "act", "total": 7, "words": ["act", "cat"], "freshness": UNKNOWN}
    assert get(world, "/v1/words/cat") == word
    assert get(world, "/v1/words/C-A-T".replace("-", "%27")) == word
    assert get(world, "/v1/words/zebra")["total"] == 0


@pytest.mark.parametrize("word", ["cat-dog", "%20", "!!!", "a%20b"])
def test_word_that_is_not_one_word_is_refused(world: World, word: str) -> None:
    assert "instead of one" in get(world, f"/v1/words/{word}", 422)["detail"]


def test_top_lists_the_greatest_totals(world: World) -> None:
    world.count(0, act=5, dgo=9, zz=1)
    top = [{"signature": "dgo", "total": 9, "words": ["dog", "god"]}]
    assert get(world, "/v1/top?limit=1")["top"] == top
    assert [each["signature"] for each in get(world, "/v1/top")["top"]] == ["dgo", "act", "zz"]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", ""])
def test_limit_outside_its_bounds_is_refused(world: World, limit: str) -> None:
    assert get(world, f"/v1/top?limit={limit}", 422)["title"] == "Unprocessable Entity"


def test_response_has_an_age_once_the_end_was_reached(world: World) -> None:
    assert get(world, "/v1/top")["freshness"]["age_ms"] is None
    assert world.client.get("/healthz/ready").status_code == 503
    world.reach_the_end()
    assert get(world, "/v1/top")["freshness"]["age_ms"] >= 0
    assert world.client.get("/healthz/ready").json() == {"ready": True, "reasons": []}


@pytest.mark.parametrize("blob_id", ["42", "a/b/c", "ü ?#%", "x" * 3_000])
def test_blob_has_its_newest_outcome_and_its_position(world: World, blob_id: str) -> None:
    world.add_result(blob_id, (0, 1), {"cat": 1}, offset=3)
    world.add_dead_letter(blob_id, (1, 9), "bad-json", offset=7)
    world.add_result(blob_id, (0, 5), {"cat": 2}, offset=6)
    outcome = world.client.get("/v1/blobs/" + "".join(f"%{byte:02x}" for byte in blob_id.encode())).json()
    assert outcome["outcome"] == "result"
    assert outcome["result"]["anagram_counts"] == {"cat": 2}
    assert outcome["position"] == {"topic": "anagram-results", "partition": 0, "offset": 6}
    assert outcome["timestamp_ms"] == 1_700_000_000_000
    assert outcome["freshness"]["offsets"] == {"anagram-results": {"0": 8}, "dead-letters": {"1": 9}}
    assert "dead_letter" not in outcome


def test_dead_letter_is_an_outcome_too(world: World) -> None:
    world.add_dead_letter("42", (1, 9), "bad-json", offset=7)
    for path in ("/v1/blobs/42", "/v1/inputs/1/9"):
        outcome = get(world, path)
        assert (outcome["outcome"], outcome["dead_letter"]["reason"]) == ("dead-letter", "bad-json")
        assert outcome["dead_letter"]["source"] == {"topic": "text-blobs", "partition": 1, "offset": 9}


def test_blob_without_an_outcome_is_missing_up_to_the_offsets_of_the_response(world: World) -> None:
    world.add_result("x", (0, 1), {}, offset=3)
    for path in ("/v1/blobs/42", "/v1/inputs/0/2"):
        problem = get(world, path, 404)
        assert (problem["title"], problem["status"]) == ("Not Found", 404)
        assert problem["freshness"]["offsets"]["anagram-results"] == {"0": 5}


@pytest.mark.parametrize(
    "path", ["/v1/inputs/-1/0", "/v1/inputs/0/-1", f"/v1/inputs/0/{2**63}", "/v1/inputs/x/0"]
)
def test_invalid_position_is_refused(world: World, path: str) -> None:
    get(world, path, 422)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"text": "listen", "id": "42"}', "application/json"),
        (b"listen", "text/plain; charset=utf-8"),
        (b"", "text/plain"),
    ],
)
def test_submitted_text_is_sent_and_its_position_returned(
    world: World, body: bytes, content_type: str
) -> None:
    answer = world.client.post("/v1/blobs", content=body, headers={"content-type": content_type})
    assert answer.status_code == 202
    ((blob_id, text),) = world.submitter.submitted
    assert text == (json.loads(body)["text"] if "json" in content_type else body.decode())
    assert answer.json() == {"id": blob_id, "input": {"topic": "text-blobs", "partition": 0, "offset": 0}}
    assert answer.headers["location"] == "/v1/inputs/0/0"
    assert blob_id == "42" or len(blob_id) == 36


def test_submission_that_waits_is_answered_with_the_outcome(world: World) -> None:
    world.add_result("42", (0, 0), {"cat": 1}, offset=0)
    answer = world.client.post("/v1/blobs?wait=1000", json={"text": "cat", "id": "42"})
    assert answer.status_code == 200
    assert answer.json()["result"]["anagram_counts"] == {"cat": 1}


def test_submission_whose_wait_times_out_is_answered_with_the_position(world: World) -> None:
    assert world.client.post("/v1/blobs?wait=50", json={"text": "cat"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "text/plain", 400),
        (b"[]", "application/json", 422),
        (b'{"text": 1}', "application/json", 422),
        (b'{"text": "x", "more": 1}', "application/json", 422),
        (b'{"text": "x", "id": ""}', "application/json", 422),
        (b"x", "application/xml", 415),
        (b"x", "", 415),
        (b"x" * 101, "text/plain", 413),
        (b"x" * 100_000, "text/plain", 413),
        (b'{"text": "' + b"x" * 101 + b'"}', "application/json", 413),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_invalid_submission_is_refused(tmp_path: Path, body: bytes, content_type: str, status: int) -> None:
    world = make_world(tmp_path, text_bytes_max=100)
    answer = world.client.post("/v1/blobs", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.submitter.submitted == []
    world.view.close()


def test_submission_is_disabled_by_default(tmp_path: Path) -> None:
    world = make_world(tmp_path, submit=False)
    answer = world.client.post("/v1/blobs", json={"text": "cat"})
    assert answer.status_code == 403
    assert "STREAM_SERVE_SUBMIT=true" in answer.json()["detail"]
    assert get(world, "/v1/status")["submit"] is False
    world.view.close()


def test_parameter_given_twice_is_a_problem(world: World) -> None:
    assert get(world, "/v1/top?limit=1&limit=2", 422)["detail"] == "query limit: given 2 times"
    assert get(world, "/v1/status?x=1&x=1", 422)["detail"] == "query x: given 2 times"
    answer = world.client.post("/v1/blobs?wait=0&wait=5", json={"text": "cat"})
    assert (answer.status_code, world.submitter.submitted) == (422, [])


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost", 202), ("http://evil.example", 403), ("null", 403)]
)
def test_page_of_another_site_cannot_submit(world: World, origin: str, status: int) -> None:
    answer = world.client.post(
        "/v1/blobs", content=b"cat", headers={"content-type": "text/plain", "origin": origin}
    )
    assert answer.status_code == status


def test_token_is_required_by_the_api_and_not_by_page_and_probes(tmp_path: Path) -> None:
    world = make_world(tmp_path, serve_token="secret")
    for path in ("/v1/top", "/v1/words/cat", "/v1/status", "/v1/blobs/42", "/v1/stream", "/metrics"):
        answer = world.client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for wrong in ("Bearer other", "Bearer ", "Basic secret", "secret"):
            assert world.client.get(path, headers={"authorization": wrong}).status_code == 401
    assert world.client.post("/v1/blobs", json={"text": "cat"}).status_code == 401
    get(world, "/v1/top", authorization="Bearer secret")
    for path in ("/", "/page/page.js", "/healthz/live", "/openapi.json"):
        assert world.client.get(path).status_code == 200
    world.view.close()


def test_status_reports_group_workers_and_topics(world: World) -> None:
    world.count(0, act=5)
    world.add_dead_letter("42", (1, 9), "bad-json", offset=7)
    world.add_result("x", (0, 1), {}, offset=3)
    status = get(world, "/v1/status")
    assert status["group"] == {
        "id": "anagram-counter",
        "state": "stable",
        "protocol": "consumer",
        "members": 1,
    }
    assert status["partitions"][0] == {
        "partition": 0,
        "committed": 5,
        "end": 9,
        "lag": 4,
        "age_s": 1.5,
        "member": "worker-1",
    }
    assert status["partitions"][1]["member"] is None
    assert status["workers"] == [{"url": "http://w", "ready": False, "reasons": ["restoring"]}]
    assert status["dead_letters"] == [{"reason": "bad-json", "number": 1}]
    assert (status["results"], status["words"], status["signatures"]) == (1, 5, 1)
    assert set(status["freshness"]["offsets"]) == set(TOPICS)


@pytest.mark.parametrize(
    "path", ["/", "/page/page.js", "/v1/top", "/v1/nothing", "/nothing", "/v1/words/%20"]
)
def test_every_response_protects_browsers(world: World, path: str) -> None:
    headers = world.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("blob_id", ["a/b", "a\nb", "a\n", "\n", "a?b#c", "ä"])
def test_id_may_be_any_text(world: World, blob_id: str) -> None:
    world.add_result(blob_id, (1, 9), {}, offset=7)
    seen = get(world, f"/v1/blobs/{quote(blob_id, safe='')}")
    assert seen["result"]["blob_id"] == blob_id
    get(world, f"/v1/blobs/{quote(blob_id + 'x', safe='')}", 404)
    get(world, f"/v1/blobs/{quote(blob_id.rstrip() + 'y', safe='')}", 404)


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("POST", "/v1/top", "GET"),
        ("DELETE", "/v1/blobs/42", "GET"),
        ("PUT", "/v1/blobs", "POST"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/healthz/ready", "GET"),
    ],
)
def test_wrong_method_is_a_problem_that_names_the_right_ones(
    world: World, method: str, path: str, right: str
) -> None:
    answer = world.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert set(answer.headers["allow"].split(", ")) == set(right.split(", "))


def test_view_survives_a_restart(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.count(0, act=5)
    world.add_result("42", (0, 1), {"cat": 1}, offset=3)
    world.add_dead_letter("43", (0, 2), "bad-json", offset=1)
    world.view.close()
    again = make_world(tmp_path)
    assert again.view.positions == world.view.positions
    assert get(again, "/v1/words/cat")["total"] == 5
    assert get(again, "/v1/blobs/42")["outcome"] == "result"
    assert get(again, "/v1/status")["dead_letters"] == [{"reason": "bad-json", "number": 1}]
    again.view.close()


def test_openapi_describes_errors_as_they_are_sent() -> None:
    document = openapi()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in render(document)
    paths = document["paths"]
    assert set(paths["/v1/blobs"]["post"]["responses"]) >= {"202", "200", "400", "401", "413", "415", "503"}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_metrics_measure_requests_by_route_and_read_the_view(world: World) -> None:
    world.count(0, act=5, opst=2)
    assert "stream_view_words" not in metrics_of(world), "the view is not complete yet"
    world.reach_the_end()
    world.add_dead_letter("42", (1, 9), "bad-json", offset=7)
    get(world, "/v1/words/cat")
    world.client.get("/v1/words/%20")
    world.client.get("/nothing")
    samples = metrics_of(world)
    count = "stream_serve_request_seconds_count"
    assert samples[count + '{route="/words/{word}",status="200"}'] == 1
    assert samples[count + '{route="/words/{word}",status="422"}'] == 1
    assert samples[count + '{route="other",status="404"}'] == 1
    assert samples["stream_view_words"] == 7
    assert samples["stream_view_signatures"] == 2
    assert samples['stream_view_top_signature_words{signature="act"}'] == 5
    assert samples['stream_view_dead_letters{reason="bad-json"}'] == 1
    assert samples['stream_view_age_seconds{topic="signature-counts"}'] > 0


def metrics_of(world: World) -> dict[str, float]:
    answer = world.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}
