"""Use the orchestrator of the package, which `hatch run pipeline` runs.

What it shows: a pipeline for normal use, in comparison with the baseline. It retries each stage by itself,
looks up each word once for all its occurrences in a text, concurrently if stages have delays, and keeps no
memo.
"""

from stream.exercise.orchestrator import TaskOrchestrator

__all__ = ["TaskOrchestrator"]
