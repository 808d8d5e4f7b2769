# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""Arguments of roles that are Kubernetes quantities or sizes of a JVM, which argument specs have no type for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..module_utils.objects._quantity import FORM, invalid_reason

JAVA_SIZE = re.compile(r"[1-9][0-9]*[kmgKMG]$")
"""A size as options of the JVM take it."""


def faults(name: str, value: Any) -> Iterator[str]:
    """A sentence for each value of an argument, or below it, that is no quantity; null and empty mappings are unset."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from faults(f"{name}.{key}", below)
    elif value is not None and (wrong := invalid_reason(value, least=0)):
        yield f"{name} is {wrong}: {FORM}"
