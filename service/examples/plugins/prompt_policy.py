"""Refuses what a team has agreed not to record: sessions without an owner, overlong prompts, models nobody approved.

The rules stand in prompt_policy.json beside this file, or in the file that PROMPT_POLICY_FILE names:

    {"required_session_metadata": ["user"], "max_prompt_characters": 20000, "allowed_models": ["aurora-2-large"]}

A rule that is left out is not applied.
"""
# ruff: noqa: INP001, ARG002 - a plugin directory is no package; every hook takes the context

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from memory_graph.model.nodes import Node, PromptData, ResponseData, SessionData
from memory_graph.plugins import HookContext, Plugin, Veto


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules."""

    required_session_metadata: frozenset[str] = frozenset()
    max_prompt_characters: int | None = None
    allowed_models: frozenset[str] | None = None


class PromptPolicy(Plugin):
    """Vetoes sessions, prompts and responses that break the rules."""

    name = "prompt-policy"
    version = "1.0.0"
    priority = 10

    def __init__(self) -> None:
        path = Path(os.environ.get("PROMPT_POLICY_FILE") or Path(__file__).with_suffix(".json"))
        try:
            self.policy = msgspec.json.decode(path.read_bytes(), type=Policy)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: {error}") from None

    async def before_create_session(self, context: HookContext, node: Node) -> None:
        self._check(node)

    async def before_create_node(self, context: HookContext, node: Node) -> None:
        self._check(node)

    async def before_update_node(self, context: HookContext, node: Node) -> None:
        self._check(node)

    def _check(self, node: Node) -> None:
        match node.data:
            case SessionData(metadata=metadata):
                missing = sorted(key for key in self.policy.required_session_metadata if not metadata.get(key))
                if missing:
                    raise Veto(f"a session needs metadata {', '.join(missing)}")
            case PromptData(content=content, metadata=prompt):
                longest = self.policy.max_prompt_characters
                if longest is not None and len(content) > longest:
                    raise Veto(f"the prompt has {len(content):,} characters, allowed are {longest:,}")
                self._check_model(prompt.model if prompt else "")
            case ResponseData(metadata=response):
                self._check_model(response.model if response else "")

    def _check_model(self, model: str) -> None:
        allowed = self.policy.allowed_models
        if model and allowed is not None and model not in allowed:
            raise Veto(f"model {model} is not among {', '.join(sorted(allowed))}")
