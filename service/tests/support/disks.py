"""Small file systems, to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(folder: Path, ballast_mib: int) -> Iterator[Path]:
    """A 64 MiB file system at `folder`, which is made; so much of it is in the file `ballast`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    try:
        (folder / "ballast").write_bytes(b"\0" * (ballast_mib << 20))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
