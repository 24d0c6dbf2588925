"""The command `bench`: a load test of workers on Kafka, whose output is checked."""
