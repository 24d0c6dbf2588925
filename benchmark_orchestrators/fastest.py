"""Count as the streaming worker does, without Kafka.

What it shows: how much time this method saves on the same problem. A translation table in C splits the text,
NumPy computes and looks up all signatures at once, and the counted signatures become words only at the end.
It uses none of the stages, so with `--faults` it meets no faults, and the benchmark does not compare it then.
"""

from time import perf_counter
from typing import Any

import orjson

from stream.core.engine import Engine
from stream.core.lexicon import make_lexicon
from stream.exercise import stages


class TaskOrchestrator:
    """Counts with `stream.core.engine`."""

    def __init__(self) -> None:
        self._engine = Engine(make_lexicon(stages.current().index))

    def process_text(self, text: str) -> dict[str, Any]:
        """Count the anagrams of the text's words."""
        if not isinstance(text, str):
            raise ValueError("the text must be a str")  # noqa: TRY004 - the interface
        started = perf_counter()
        counts = orjson.loads(self._engine.count([text.encode()]).counts_json[0])
        return {"runtime": (perf_counter() - started) * 1000, "anagram_counts": counts}
