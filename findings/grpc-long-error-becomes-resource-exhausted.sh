#!/usr/bin/env bash
# A gRPC status whose text is longer than 16 KiB reaches a Python client as RESOURCE_EXHAUSTED: status and text travel in the
# trailing metadata, the client's limit for that (grpc.absolute_max_metadata_size, 16 KiB) applies, and both the code and
# the text that the server chose are lost. Servers have to keep what they say short.
# Seen 2026-11-27 with grpcio 1.85.1:
#   4096 characters  -> INVALID_ARGUMENT, 4096 characters arrive
#   20000 characters -> RESOURCE_EXHAUSTED, a text about metadata instead
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet grpcio==1.85.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

import grpc


async def refuse(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "x" * int(request))


async def main() -> None:
    print("grpcio", grpc.__version__)
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(refuse)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("findings.Texts", {"Refuse": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    seen = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/findings.Texts/Refuse")
        for length in (4096, 20000):
            try:
                await call(str(length).encode())
            except grpc.aio.AioRpcError as error:
                text = error.details() or ""
                seen.append((error.code().name, len(text) == length))
                print(length, "characters ->", error.code().name, "·", len(text), "characters arrive:", text[:70])
    await server.stop(None)
    assert seen == [("INVALID_ARGUMENT", True), ("RESOURCE_EXHAUSTED", False)], "behaviour has changed"


asyncio.run(main())
PYTHON
