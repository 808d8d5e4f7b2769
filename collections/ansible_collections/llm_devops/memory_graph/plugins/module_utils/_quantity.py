# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""Kubernetes quantities ("100m", "2Gi") as exact numbers, and back for people. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse(quantity: str | float) -> Decimal:
    """The number a quantity stands for. :raises ValueError: when it is none."""
    found = _FORM.match(str(quantity).strip())
    if not found:
        raise ValueError(f"{quantity!r} is not a quantity")
    number, suffix = Decimal(found[1]), found[2] or ""
    return number * Decimal(1024) ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])


def show(number: Decimal, resource: str) -> str:
    """``12Gi``, ``1500m``, ``5``: as short as it stays exact enough to compare."""
    if "memory" in resource or "storage" in resource:
        for suffix, power in reversed(_BINARY.items()):
            if abs(number) >= 1024**power:
                return f"{(number / Decimal(1024) ** power).quantize(Decimal('0.1')).normalize():f}{suffix}"
    if number != number.to_integral_value():
        return f"{(number * 1000).quantize(Decimal(1)):f}m"
    return f"{number.quantize(Decimal(1)):f}"
