"""The rules of the graph, once for every store: from mutations and fetched facts to rows, events and counters."""
