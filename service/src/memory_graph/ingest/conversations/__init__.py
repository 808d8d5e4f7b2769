"""Conversations as they happened elsewhere: prompts, responses and sessions of contract §3 on their way into the
graph."""
