from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.tools.chaos.campaign import Campaign
from stream.tools.chaos.options import CampaignOptions
from stream.tools.chaos.producer import InputSize
from stream.tools.chaos.score import Score


@pytest.mark.parametrize(
    ("written", "outcomes", "is_drained"),
    [
        (3, 3, True),
        (3, 2, False),
        (4, 4, True),  # the client library wrote a record twice
        (4, 3, False),  # one outcome for each blob, but one record has none
    ],
)
def test_input_is_drained_if_every_record_has_an_outcome(
    tmp_path: Path,
    written: int,
    outcomes: int,
    is_drained: bool,  # noqa: FBT001
) -> None:
    campaign = cast(
        "Any", Campaign(CampaignOptions(1, "consumer", False, InputSize(3, 1), []), tmp_path, print)
    )
    campaign._producer = SimpleNamespace(is_done=True, delivered=3, ends={0: written})
    seen = SimpleNamespace(outcomes=outcomes)
    campaign._outcomes = SimpleNamespace(offsets={0: outcomes}, seen=seen)
    assert campaign._is_drained() is is_drained


def test_record_that_the_campaign_wrote_twice_is_not_a_failure() -> None:
    score = Score(1, "consumer", static=False, input_duplicates=1)
    assert score.holds
    assert score.as_json()["input_duplicates"] == 1
