"""`memory-graph worker`: events from Kafka into the graph, each offset committed after the store's commit."""
