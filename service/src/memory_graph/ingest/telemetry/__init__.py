"""Telemetry's way into the graph: bodies of any source → events → graph writes → one durable outcome each."""
