"""Answers questions about totals and outcomes over HTTP, from a view that follows the topics."""
