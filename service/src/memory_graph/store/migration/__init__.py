"""Moving a graph from the embedded store to Neo4j, with its history and its change feed (`memory-graph migrate`)."""
