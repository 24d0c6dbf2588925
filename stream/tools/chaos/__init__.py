"""Faults on a real Kafka: workers are killed, stopped and cut off while records flow; then it is judged."""
