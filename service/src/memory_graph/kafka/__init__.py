"""Kafka: clients for whatever reads, writes or administers its brokers."""
