# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
# Apache-2.0 may be combined with ansible-core, which is under the GNU General Public License v3.0 or later.
"""The name and the version in a reference to a container image."""

from __future__ import annotations

from typing import NamedTuple


class ContainerImage(NamedTuple):
    """A reference without its registry and its digest."""

    name: str
    """The last part of the path, with the tag."""
    tag: str
    """The tag, ``unknown`` without one."""
    has_digest: bool

    @classmethod
    def parse(cls, reference: str) -> ContainerImage:
        """Split a reference such as ``registry.example:5000/team/app:1.2@sha256:…``."""
        tagged, at, _digest = reference.partition("@")
        name = tagged.rpartition("/")[2]
        return cls(name, [*name.split(":"), "unknown"][1], bool(at))

    @property
    def is_pinned(self) -> bool:
        """Whether the reference says which version runs: a digest, or a tag other than ``latest``."""
        return self.has_digest or (":" in self.name and self.tag != "latest")


PIN = "does not say which version runs: give a tag other than latest, or a digest"
"""What is wrong with a reference that is not pinned, and the way out."""
