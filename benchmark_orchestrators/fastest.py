"""The streaming worker's own counting, without Kafka around it.

What it shows: how much of the time is not the problem but the way. Words are cut out by one translation
table in C, a word's signature is looked up in a dictionary that fills itself, and what is counted are
signatures, which become words only at the end. It uses none of the stages: under `--faults` it meets none,
and is no rival.
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
            raise ValueError("a text is a str")  # noqa: TRY004 - the interface
        began = perf_counter()
        counts = orjson.loads(self._engine.count([text.encode()]).counts_json[0])
        return {"runtime": (perf_counter() - began) * 1000, "anagram_counts": counts}
