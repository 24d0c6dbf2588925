"""Tests as users of the pytest plugin write them."""

import pytest

from stream.testing.plugin import FakeStream

pytest_plugins = ["pytester"]

USERS_TEST = """
def test_my_texts(anagram_stream):
    anagram_stream.submit("Listen, silent cat", key="a")
    anagram_stream.run()
    assert anagram_stream.results()[0]["anagram_counts"]["cat"] == 1
    assert anagram_stream.totals() == {"eilnst": 2, "act": 1}
"""


def test_example_of_the_readme_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(USERS_TEST)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_keys_headers_and_dead_letters_are_supported() -> None:
    stream = FakeStream()
    json_header = (("content-type", b"application/json"),)
    stream.submit(b'{"id": "mine", "text": "dog"}', headers=json_header, partition=1)
    stream.submit(b"\xff", partition=1)
    stream.submit("cat", key="k")
    stream.run()
    assert [result["blob_id"] for result in stream.results()] == ["k", "mine"]
    assert [letter["dead-letter.reason"] for letter in stream.dead_letters(1)] == ["undecodable"]
    assert stream.results(0)[0]["source"]["offset"] == 0


def test_dictionary_can_be_chosen() -> None:
    stream = FakeStream(partitions=1, words=["rat", "tar"])
    stream.submit("art")
    stream.run()
    assert stream.results()[0]["anagram_counts"] == {"rat": 1, "tar": 1}


def test_crash_and_transient_errors_change_no_result() -> None:
    stream = FakeStream()
    stream.fail_once("sink.reset_producer")
    stream.submit("cat")
    stream.run()
    stream.crash()
    stream.submit("act")
    stream.run()
    assert len(stream.results()) == 2
    assert stream.totals() == {"act": 2}
