import json

import pytest

from stream.client import Answered, Client, Outcome, Position, TextRejected, Unreachable
from stream.client.protocol import EventParser, read_answer, read_outcome, word_path

SOURCE = {"topic": "text-blobs", "partition": 2, "offset": 9}
RESULT = {
    "outcome": "result",
    "position": {"topic": "anagram-results", "partition": 2, "offset": 7},
    "timestamp_ms": 1,
    "result": {"blob_id": "x", "anagram_counts": {"cat": 1}, "words": 1, "source": SOURCE, "later": 1},
}
LETTER = {
    "outcome": "dead-letter",
    "position": {"topic": "dead-letters", "partition": 2, "offset": 7},
    "timestamp_ms": 1,
    "dead_letter": {"blob_id": "x", "reason": "bad-json", "message": "what", "source": SOURCE},
}


def test_outcome_is_a_result_or_a_reason() -> None:
    result = read_outcome(RESULT).result_or_raise()
    assert (result.blob_id, result.anagram_counts) == ("x", {"cat": 1})
    letter = read_outcome(LETTER)
    assert letter == Outcome("x", Position(2, 9), None, "bad-json", "what")
    with pytest.raises(TextRejected, match="bad-json: what") as caught:
        letter.result_or_raise()
    assert caught.value.reason == "bad-json"


def test_error_of_the_server_is_raised_with_its_detail() -> None:
    with pytest.raises(Answered, match=r"no such \(status 404\)") as caught:
        read_answer(404, b'{"detail": "no such", "status": 404}')
    assert caught.value.status == 404


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"1"])
def test_response_of_another_server_is_an_error(body: bytes) -> None:
    with pytest.raises(Answered, match="is the server `anagram-stream serve`"):
        read_answer(200, body)


def test_word_with_other_characters_is_one_segment_of_a_path() -> None:
    assert word_path("a/b ü?") == "/v1/words/a%2Fb%20%C3%BC%3F"


def lines(*events: tuple[str, str, list[object]]) -> list[str]:
    return [
        line
        for event_id, name, outcomes in events
        for line in (f"id: {event_id}", f"event: {name}", f"data: {json.dumps({'outcomes': outcomes})}", "")
    ]


def test_each_outcome_has_an_id_after_which_nothing_is_missed() -> None:
    """All outcomes but the last of an event have the previous id, because an event is repeated as a whole."""
    parser = EventParser("0")
    fed = list(parser.feed([": still here", "", *lines(("1", "outcomes", [RESULT, LETTER]))]))
    fed += parser.feed(["retry: 1000", "", *lines(("2", "other", []), ("3", "outcomes", [RESULT, RESULT]))])
    assert [outcome.event_id for outcome in fed] == ["0", "1", "2", "3"]
    assert parser.last_id == "3"


def test_id_alone_is_kept() -> None:
    """The server sends it first, so that no outcome is missed if the connection is lost early."""
    parser = EventParser()
    assert list(parser.feed(["retry: 1000", "id: 7", ""])) == []
    assert parser.last_id == "7"


def test_server_that_does_not_respond_is_unreachable() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match="does not respond"):
        client.total("cat")
