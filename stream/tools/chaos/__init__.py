"""The command `chaos`: kills, stops and disconnects workers on a real Kafka under load, then audits."""
