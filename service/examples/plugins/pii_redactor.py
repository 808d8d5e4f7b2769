"""Takes personal data out of prompts, responses and tool calls before they are stored.

E-mail addresses become [EMAIL], phone numbers in international or North American notation [PHONE], IBANs with a right
check sum [IBAN], and card numbers that pass the Luhn check [CARD]. Everything else stays: names and addresses are not
found. RE2 matches in linear time, so no text can stall the service.
"""
# ruff: noqa: INP001, ARG002 - a plugin directory is no package; every hook takes the context

from __future__ import annotations

import msgspec
import re2

from memory_graph.model.nodes import Node, PromptData, ResponseData, ToolInvocationData
from memory_graph.plugins import HookContext, Plugin

_EMAIL = re2.compile(r"[\pL\pN._%+-]{1,64}@(?:[\pL\pN-]{1,63}\.)+\pL{2,24}")
_IBAN = re2.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b")
_CARD = re2.compile(r"\b[0-9](?:[ -]?[0-9]){12,18}\b")
_PHONE = re2.compile(
    r"\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}\b|\([2-9][0-9]{2}\) ?[0-9]{3}-[0-9]{4}\b|\b[2-9][0-9]{2}-[0-9]{3}-[0-9]{4}\b"
)
_IBAN_SHORTEST = 15


def redact(text: str) -> str:
    """The text with personal data replaced by what kind of data it was."""
    text = _EMAIL.sub("[EMAIL]", text)
    text = _IBAN.sub(lambda match: _redacted_iban(match.group()), text)
    text = _CARD.sub(lambda match: "[CARD]" if _passes_luhn(match.group()) else match.group(), text)
    return str(_PHONE.sub("[PHONE]", text))


def redact_json(text: str) -> str:
    """JSON with personal data in its strings and numbers replaced; the same text when there is none."""
    if not text:
        return text
    value = msgspec.json.decode(text)
    clean = _redact_value(value)
    return text if clean == value else msgspec.json.encode(clean).decode()


def _redact_value(value: object) -> object:
    match value:
        case str():
            return redact(value)
        case bool():
            return value
        case int():
            digits = str(value)
            replaced = redact(digits)
            return value if replaced == digits else replaced
        case list():
            return [_redact_value(item) for item in value]
        case dict():
            return {redact(str(key)): _redact_value(item) for key, item in value.items()}
        case _:
            return value


def _redacted_iban(text: str) -> str:
    # In running text a word in capitals may follow: "DE89 … 00 AND": the longest valid beginning is the number.
    for end in range(len(text), _IBAN_SHORTEST - 1, -1):
        head = text[:end]
        if head[-1] != " " and _is_iban(head):
            return "[IBAN]" + text[end:]
    return text


def _is_iban(text: str) -> bool:
    """ISO 13616: country and check digits moved to the end, letters as numbers, the rest modulo 97 is 1."""
    compact = text.replace(" ", "")
    if len(compact) < _IBAN_SHORTEST:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def _passes_luhn(text: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, digits summed, divisible by ten."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    return sum(sum(divmod(2 * digit, 10)) if odd % 2 else digit for odd, digit in enumerate(digits)) % 10 == 0


class PiiRedactor(Plugin):
    """Redacts new and changed nodes. Plain hooks, so that a long text is worked on beside the event loop."""

    name = "pii-redactor"
    version = "1.0.0"
    priority = 50

    def before_create_node(self, context: HookContext, node: Node) -> Node:
        return self._redacted(node)

    def before_update_node(self, context: HookContext, node: Node) -> Node:
        return self._redacted(node)

    def _redacted(self, node: Node) -> Node:
        match node.data:
            case PromptData() | ResponseData():
                content = redact(node.data.content)
                if content == node.data.content:
                    return node
                return msgspec.structs.replace(node, data=msgspec.structs.replace(node.data, content=content))
            case ToolInvocationData():
                return msgspec.structs.replace(node, data=_redacted_tool(node.data))
            case _:
                return node


def _redacted_tool(tool: ToolInvocationData) -> ToolInvocationData:
    return msgspec.structs.replace(
        tool,
        parameters=redact_json(tool.parameters),
        result=None if tool.result is None else redact_json(tool.result),
        error=None if tool.error is None else redact(tool.error),
    )
