"""The command `bench`: a load test of workers on Kafka, with a check of their output."""
