"""Serves totals and outcomes over HTTP, from a view that follows the topics."""
