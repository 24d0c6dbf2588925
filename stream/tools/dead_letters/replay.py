"""Replays dead letters: sends their original records to the input topic, each exactly once."""

from collections.abc import Callable, Generator

from stream.config import Settings
from stream.kafka.clients import Admin
from stream.kafka.topics import Topics
from stream.tools.dead_letters.candidates import Candidates, Tally
from stream.tools.dead_letters.selection import Selection
from stream.tools.dead_letters.sending import ReplayLimits, Sending, Unsent
from stream.tools.dead_letters.state import ReplayState, wait_for_state
from stream.tools.dead_letters.transactions import Replayed


class Replay:
    """Sends the selected dead letters.

    Attributes:
        sending: sends them, and counts.
        tally: counts of the dead letters read, by what is done with them.
    """

    def __init__(
        self, settings: Settings, admin: Admin, topics: Topics, selection: Selection, limits: ReplayLimits
    ) -> None:
        self._settings, self._admin, self._topics = settings, admin, topics
        self._candidates = Candidates(settings, admin, topics, selection, limits.replays_max)
        self._limits = limits
        self.sending = Sending(settings, admin, topics, limits, in_order=True)
        self.tally = Tally()

    def preview(self, say: Callable[[str], None]) -> Tally:
        """Return what a replay would send; nothing is sent. `say` as for `wait_for_state`.

        Raises:
            Refused: the broker is unavailable, or it is unknown what was replayed.
        """
        state = wait_for_state(self._settings, self._admin, self._topics, say)
        tally = Tally()
        for _ in self._candidates.read(state, tally):
            if self._limits.reached(tally.selected.total()):
                break
        return tally

    def run(self, on_progress: Callable[[int], None]) -> None:
        """Send the dead letters that are in the topic now; arguments and errors as for `Sending.run`."""
        self.sending.run(self._read, on_progress)

    def _read(self, state: ReplayState) -> Generator[Replayed | Unsent]:
        self.tally = Tally()
        for candidate in self._candidates.read(state, self.tally):
            stored = candidate.letter.record
            if candidate.record is None:
                yield stored.partition, stored.offset
            else:
                yield Replayed(stored.partition, stored.offset, candidate.letter.reason, candidate.record)
