"""The status of a refused call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Refusal:
    """Filled when the block has ended: code, text, and the violated fields with what is said of each."""

    code: grpc.StatusCode
    text: str
    fields: dict[str, str]
    trailing: dict[str, str | bytes]


@contextmanager
def refused(code: grpc.StatusCode) -> Iterator[Refusal]:
    """Asserts that the block is refused with `code`."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as caught:
        yield refusal
    error = caught.value
    refusal.code, refusal.text = error.code(), error.details()
    assert refusal.code is code, f"{refusal.code}: {refusal.text}"
    refusal.trailing = dict(error.trailing_metadata() or ())
    refusal.fields = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        request = error_details_pb2.BadRequest()
        if detail.Unpack(request):
            refusal.fields.update((violation.field, violation.description) for violation in request.field_violations)


@contextmanager
def invalid(*fields: str) -> Iterator[Refusal]:
    """Asserts INVALID_ARGUMENT for exactly these fields."""
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        yield refusal
    assert sorted(refusal.fields) == sorted(fields), refusal.fields
