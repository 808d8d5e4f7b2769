"""Kafka: how its brokers are reached, by whatever reads, writes or administers them."""
