"""The rules of the graph, once for every store: from mutations and fetched facts to rows, events and counters.

Nothing here does I/O or awaits. docs/how-to/add-a-store.md names the module of each rule and what a store gives.
"""
