"""Starting over under new names: the settings of the successor, and its progress."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from stream.config import PREFIX, Settings
from stream.errors import Misconfigured, Refused
from stream.kafka.clients import Admin, reader_options
from stream.kafka.offsets import committed_offsets, offset_ranges, partitions_of
from stream.tools.kafka.group import PartitionLag

SUFFIXED = ("group_id", "result_topic", "count_topic", "dead_letter_topic")
COMMITTED_TIMEOUT_S = 5.0
CAUGHT_UP_S = 5.0  # the successor counts the input that arrived meanwhile within this time
_SUFFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAME_CHARS_MAX = 249  # of a topic


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the successor.

    Attributes:
        done: input offsets below its committed offsets.
        total: input offsets in the log.
        is_caught_up: whether it keeps up with the input.
    """

    done: int
    total: int
    is_caught_up: bool


def successor_of(settings: Settings, suffix: str, dictionary: Path | None) -> Settings:
    """Return the settings with new names for the group and its topics; the input topic stays.

    Raises:
        Misconfigured: the suffix is not valid.
    """
    if not _SUFFIX.fullmatch(suffix):
        raise Misconfigured(
            f"--suffix {suffix}: use 1 to 64 letters, digits, `.`, `_` or `-`", "for example: --suffix v2"
        )
    names = {name: f"{getattr(settings, name)}-{suffix}" for name in SUFFIXED}
    for name in names.values():
        if len(name) > _NAME_CHARS_MAX:
            raise Misconfigured(
                f"{name} is longer than {_NAME_CHARS_MAX} characters", "choose a shorter --suffix"
            )
    if dictionary is not None:
        names["dictionary"] = str(dictionary.absolute())
    return Settings.model_validate({**settings.model_dump(), **names})


def switched_variables(settings: Settings, successor: Settings) -> Sequence[tuple[str, str, str]]:
    """Return name, old value and new value of the variables that differ."""
    old, new = settings.model_dump(), successor.model_dump()
    return [
        (PREFIX + name.upper(), "" if old[name] is None else str(old[name]), str(new[name]))
        for name in new
        if old[name] != new[name]
    ]


def check_input(successor: Settings, admin: Admin, *, accept_loss: bool) -> None:
    """Check that the log contains all input that the successor has not counted yet.

    Raises:
        Retriable: the broker is unavailable.
        Refused: retention deleted some of it, and `accept_loss` is false.
    """
    if accept_loss:
        return
    topic = successor.input_topic
    ranges = offset_ranges(admin, topic, partitions_of(admin, topic))
    counted = committed_offsets(reader_options(successor), topic, list(ranges), COMMITTED_TIMEOUT_S)
    for partition, (first, _) in ranges.items():
        if first > (counted[partition] or 0):
            raise Refused(
                f"{topic}, partition {partition}: retention deleted the input before offset {first}, so the "
                "new totals will lack it",
                "run the command again with --accept-loss if totals of the remaining input are enough",
            )


class CatchUp:
    """Decides when the successor keeps up: once it quickly reaches the ends that were read before."""

    def __init__(self) -> None:
        self._targets: Mapping[int, int] | None = None
        self._targets_at = 0.0

    def observe(self, lags: Sequence[PartitionLag]) -> Progress:
        """Evaluate the current lag of all partitions."""
        now = monotonic()
        positions = {each.partition: _position(each) for each in lags}
        is_caught_up = False
        if self._targets is None:
            self._set_targets(lags, now)
        elif all(positions[partition] >= end for partition, end in self._targets.items()):
            is_caught_up = now - self._targets_at <= CAUGHT_UP_S
            self._set_targets(lags, now)
        done = sum(positions[each.partition] - each.first for each in lags)
        return Progress(done, sum(each.stable - each.first for each in lags), is_caught_up)

    def _set_targets(self, lags: Sequence[PartitionLag], now: float) -> None:
        self._targets, self._targets_at = {each.partition: each.stable for each in lags}, now


def _position(each: PartitionLag) -> int:
    """Return the next offset to count; markers alone leave nothing to count."""
    if each.lag == 0:
        return each.stable
    return each.first if each.committed is None else max(each.first, each.committed)
