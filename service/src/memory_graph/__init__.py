"""A durable, queryable graph of what LLM applications did."""

from importlib.metadata import version

__version__ = version("memory-graph")
