from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.outcome import one_outcome

TEXTS = st.one_of(st.binary(max_size=6_000), st.text(max_size=2_000).map(str.encode))
ENVELOPES = st.one_of(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(lambda value: repr(value).replace("'", '"').encode(errors="replace")),
    st.builds(lambda text, extra: b'{"text":"' + text + b'"' + extra + b"}", TEXTS, st.binary(max_size=9)),
)


@settings(max_examples=600, deadline=None)
@given(
    st.none() | TEXTS | ENVELOPES,
    st.none() | st.binary(max_size=1_500),
    st.sampled_from([None, b"application/json", b"Application/JSON; charset=utf-8", b"text/plain", b"\xff"]),
)
@example(b'{"text":"\\ud800"}', None, b"application/json")
@example(b"[" * 5_000, None, b"application/json")
@example(b'{"text":' * 600, None, b"application/json")
@example(b'{"text":"cat","text":"dog"}', b"\xff", b"application/json")
@example(b"\xef\xbb\xbfcat", b"", None)
@example("\u0130\u0131\u212a\u017f cat".encode(), b"k" * 1_400, None)
def test_any_bytes_give_one_result_or_one_dead_letter(
    value: bytes | None, key: bytes | None, content_type: bytes | None
) -> None:
    one_outcome(value, key, content_type)
