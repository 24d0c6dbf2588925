"""Use the orchestrator of the package, which `hatch run pipeline` runs.

What it shows: a pipeline for normal use, compared with the baseline. It retries each stage separately, looks
up each word once per text, concurrently if stages have delays, and keeps no memo.
"""

from stream.exercise.orchestrator import TaskOrchestrator

__all__ = ["TaskOrchestrator"]
