# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes quantities ("100m", "2Gi") as exact numbers, and back for people. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from .._json import type_name

_FORM = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:[eE](?P<exponent>[+-]?[0-9]{1,4})|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
FORM = "write a number, with a unit of Kubernetes where it has one, as 10Gi, 500M, 250m or 2"
MAX_SHOWN = 40


def parse(quantity: str | float) -> Decimal:
    """The number a quantity stands for, by the grammar of apimachinery's ``resource.Quantity``.

    :raises ValueError: when it is none.
    """
    match = _FORM.fullmatch(str(quantity).strip(" "))  # no other white space is taken by API servers
    if not match:
        raise ValueError(f"{quantity!r} is not a quantity")
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    return number.scaleb(_DECIMAL.get(suffix, 0) + int(match["exponent"] or 0))


def invalid_reason(value: Any, *, least: int = -1) -> str:
    """Why a value, as JSON or YAML has it, cannot be a quantity, as ``'lots', which is no quantity``; else empty.

    :param least: -1 when it may be negative, 0 when it may not, 1 when it must be above zero.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return f"{type_name(value)}, which is no quantity"
    try:
        number = parse(value)
    except ValueError:
        return f"{quoted(value)}, which is no quantity"
    if number < 0 <= least:
        return f"{quoted(value)}, which is negative"
    return f"{quoted(value)}, which is not above zero" if least == 1 and not number else ""


def quoted(value: str | float) -> str:
    """The value on one line, in quotes when it is a text, and not longer than a quantity may be."""
    text = repr(value)[1:-1] if isinstance(value, str) else str(value)
    text = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return f"'{text}'" if isinstance(value, str) else text


def show(number: Decimal, resource: str) -> str:
    """``12Gi``, ``1500m``, ``5``: as short as it stays exact enough to compare."""
    if "memory" in resource or "storage" in resource:
        for suffix, power in reversed(_BINARY.items()):
            if abs(number) >= 1024**power:
                return f"{(number / Decimal(1024) ** power).quantize(Decimal('0.1')).normalize():f}{suffix}"
    if number != number.to_integral_value():
        return f"{(number * 1000).quantize(Decimal(1)):f}m"
    return f"{number.quantize(Decimal(1)):f}"
