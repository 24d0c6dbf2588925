"""The error that a user gets if the transaction of `offsets` fails."""

from typing import cast

import pytest

from stream.errors import Abortable, Fenced, InDoubt, MustNotCommit, Refused, Retriable
from stream.ports import Sink
from stream.tools.offsets.operation import AGAIN, transact


class FailingSink:
    """Raises the given errors; records the calls that succeed."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.calls: list[str] = []

    def begin(self) -> None:
        self._call("begin")

    def produce(self) -> None:
        self._call("produce")

    def commit(self) -> None:
        self._call("commit")

    def abort(self) -> None:
        self._call("abort")

    def _call(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]
        self.calls.append(name)


def failure(sink: FailingSink) -> Refused:
    with pytest.raises(Refused) as caught:
        transact(cast("Sink", sink), sink.produce)
    return caught.value


def test_transaction_is_committed() -> None:
    sink = FailingSink()
    transact(cast("Sink", sink), sink.produce)
    assert sink.calls == ["begin", "produce", "commit"]


@pytest.mark.parametrize("call", ["begin", "produce", "commit"])
@pytest.mark.parametrize("error", [Abortable("slow"), Retriable("slow"), Refused("slow", "grant")], ids=repr)
@pytest.mark.parametrize("abort", [None, InDoubt("gone"), Fenced("other"), Refused("denied", "x")], ids=repr)
def test_failed_transaction_is_aborted_and_nothing_was_committed(
    call: str, error: Exception, abort: Exception | None
) -> None:
    sink = FailingSink(**{call: error} | ({} if abort is None else {"abort": abort}))
    why = failure(sink)
    assert str(why) == "nothing was committed: slow"
    assert why.hint == (error.hint if isinstance(error, Refused) else AGAIN)
    assert "commit" not in sink.calls
    assert ("abort" in sink.calls) == (abort is None)


@pytest.mark.parametrize("error", [InDoubt("gone"), Fenced("another worker took over")], ids=repr)
@pytest.mark.parametrize(
    ("call", "message"), [("produce", "nothing was committed"), ("commit", "it is unknown whether")]
)
def test_unknown_outcome_names_the_command_that_shows_it(error: Exception, call: str, message: str) -> None:
    why = failure(FailingSink(**{call: error}))
    assert str(why).startswith(message)
    assert "anagram-stream offsets show" in why.hint
    if isinstance(error, Fenced):
        assert "another `offsets` command" in str(why)
        assert "worker" not in str(why)


def test_reason_of_a_refusal_keeps_its_fix() -> None:
    why = failure(FailingSink(produce=MustNotCommit("the group has members", "stop them")))
    assert (str(why), why.hint) == ("nothing was committed: the group has members", "stop them")
