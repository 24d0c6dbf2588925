"""A file without the class."""

ORCHESTRATOR = "none"
