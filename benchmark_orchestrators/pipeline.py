"""What `hatch run pipeline` runs: the orchestrator that comes with the package.

What it shows: the baseline's rival as it is meant for use. Each stage is tried again by itself; words are
looked up once for all their occurrences in a text, together where there is something to wait for, and
nothing is kept.
"""

from stream.exercise.orchestrator import TaskOrchestrator

__all__ = ["TaskOrchestrator"]
