"""The events of conversations (contract §3): prompts, responses and sessions."""
