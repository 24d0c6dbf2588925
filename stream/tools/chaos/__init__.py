"""The command `chaos`: workers on a real Kafka are killed, stopped and cut off under load, then audited."""
