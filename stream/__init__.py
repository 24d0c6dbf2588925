"""Anagram counts of text blobs on Kafka, exactly once."""

__version__ = "0.1.0"
