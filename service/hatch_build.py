"""Generates the protobuf modules from proto/ into src/memory_graph/gen.

A hatch build hook, so that `pip install ./service` works from a clean clone; run by hand
(`python service/hatch_build.py`) it generates in place for an editable install.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PROTO = ROOT / "proto"
OUT = ROOT / "src" / "memory_graph" / "gen"


def generate() -> None:
    """Writes *_pb2.py, *_pb2.pyi and *_pb2_grpc.py for every proto file below proto/.

    protoc writes imports relative to the proto root (`from llm.memory…`); a top-level package `llm` is another
    project's on PyPI, so the imports are rewritten to live below `memory_graph.gen`.
    """
    import grpc_tools
    from grpc_tools import protoc

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{PROTO}",
        f"-I{well_known}",
        f"--python_out={OUT}",
        f"--pyi_out={OUT}",
        f"--grpc_python_out={OUT}",
    ]
    if protoc.main(arguments + files) != 0:
        raise RuntimeError(f"protoc refused {', '.join(files)}")
    for path in [*OUT.rglob("*.py"), *OUT.rglob("*.pyi")]:
        path.write_text(re.sub(r"^from llm\.", "from memory_graph.gen.llm.", path.read_text(), flags=re.MULTILINE))
    for folder in [OUT, *(path for path in OUT.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


if __name__ == "__main__":
    generate()
else:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class ProtobufHook(BuildHookInterface):  # type: ignore[type-arg]
        def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002 - the interface is hatchling's
            generate()
