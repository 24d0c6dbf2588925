"""The contracts of topics and HTTP API as documents, generated from the models."""
