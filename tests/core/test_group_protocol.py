"""Which group protocol a worker uses."""

import pytest

from stream.core.group_protocol import AUTO, CLASSIC, CONSUMER, PREFERRED, GroupFacts, choose_protocol
from stream.errors import Refused

BOTH, OLD = frozenset({CLASSIC, CONSUMER}), frozenset({CLASSIC})
NEW = frozenset({CONSUMER})


@pytest.mark.parametrize(
    ("facts", "needs_classic", "chosen"),
    [
        (GroupFacts(BOTH), False, PREFERRED),
        (GroupFacts(OLD), False, CLASSIC),
        (GroupFacts(NEW), False, CONSUMER),
        (GroupFacts(None), False, CLASSIC),
        (GroupFacts(BOTH), True, CLASSIC),
        (GroupFacts(BOTH, used=CLASSIC), False, CLASSIC),
        (GroupFacts(BOTH, used=CONSUMER), False, CONSUMER),
        (GroupFacts(None, used=CONSUMER), False, CONSUMER),
    ],
)
def test_auto_chooses_what_brokers_settings_and_members_allow(
    facts: GroupFacts,
    needs_classic: bool,  # noqa: FBT001
    chosen: str,
) -> None:
    protocol, why = choose_protocol(AUTO, facts, needs_classic=needs_classic)
    assert protocol == chosen
    assert why


@pytest.mark.parametrize("requested", [CLASSIC, CONSUMER])
@pytest.mark.parametrize("facts", [GroupFacts(BOTH), GroupFacts(None)])
def test_requested_protocol_is_used_unless_the_brokers_lack_it(requested: str, facts: GroupFacts) -> None:
    assert choose_protocol(requested, facts, needs_classic=False)[0] == requested


def test_requested_protocol_that_the_brokers_lack_is_refused_with_the_fix() -> None:
    with pytest.raises(Refused, match="support only classic") as refused:
        choose_protocol(CONSUMER, GroupFacts(OLD), needs_classic=False)
    assert "unset STREAM_GROUP_PROTOCOL" in refused.value.hint


@pytest.mark.parametrize(("requested", "used"), [(CLASSIC, CONSUMER), (CONSUMER, CLASSIC)])
def test_requested_protocol_that_the_members_do_not_use_is_refused(requested: str, used: str) -> None:
    with pytest.raises(Refused, match=f"current members of the group use {used}") as refused:
        choose_protocol(requested, GroupFacts(BOTH, used=used), needs_classic=False)
    assert "stop all workers" in refused.value.hint
    assert choose_protocol(requested, GroupFacts(BOTH, used=requested), needs_classic=False)[0] == requested
