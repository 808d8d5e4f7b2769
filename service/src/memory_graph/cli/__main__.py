"""`python -m memory_graph.cli`."""

from memory_graph.cli import main

main(prog_name="memory-graph")
