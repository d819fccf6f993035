"""The errors of a batch's entries, in as many bytes of trailers as the controller takes."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from dpu_app.p4rt.codec import EntityError
from dpu_app.p4rt.errors import DETAILS_ROOM_KEY, code_name
from dpu_app.p4rt.stubs import AnyMessage, Message, Status, code, v1

ROOM_BYTES = 7_168
"""gRPC takes 8 KiB of trailers where it was not told otherwise (grpc.max_metadata_size)."""
ROOM_BYTES_MAX = 4_194_304
"""The most that a controller can ask for."""
ERROR_CHARS = (240, 80, 0)
"""Of one entry's error; the first that fits."""
ENTRIES_NAMED_MAX = 8
"""In the message of a batch whose details do not fit."""


def room_of(context: grpc.ServicerContext) -> int:
    """Bytes of details that the controller takes: what it says, or what a gRPC client takes by default."""
    said = next((value for name, value in context.invocation_metadata() or () if name == DETAILS_ROOM_KEY), "")
    # Nine digits are more than the most; longer ones are no number of bytes.
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) < 10:
        return min(max(int(said), ROOM_BYTES), ROOM_BYTES_MAX)
    return ROOM_BYTES


def entry_details(count: int, failed: Mapping[int, EntityError], room: int) -> tuple[str, bytes]:
    """The message of a batch that failed in part, and its status with one p4.v1.Error for each update [12.3].

    Later texts are left out where there is no room, codes never; where these do not fit either there are no details.
    """
    message = f"{len(failed)} of {count} updates failed"
    packed = [pack(failed.get(i), ERROR_CHARS[-1]) for i in range(count)]
    size = len(status_of(message, packed))
    if size > room:
        return without_details(message, failed, room), b""
    for i in sorted(failed):
        for chars in ERROR_CHARS:
            longer = pack(failed[i], chars)
            # Lengths before a message grow with it, by two bytes at most each.
            more = longer.ByteSize() - packed[i].ByteSize() + 2
            if size + more <= room:
                packed[i], size = longer, size + more
                break
    return message, status_of(message, packed)


def without_details(message: str, failed: Mapping[int, EntityError], room: int) -> str:
    """What is said instead: how many failed, the first of them, and what to change."""
    first = ", ".join(f"{i} {code_name(failed[i].status)}" for i in sorted(failed)[:ENTRIES_NAMED_MAX])
    fix = "send fewer updates in a Write (updates_max), or more room"
    return f"{message} (places from 0: {first}); their errors take more than {room} bytes: {fix} ({DETAILS_ROOM_KEY})"


def pack(error: EntityError | None, chars: int) -> Message:
    """One update's p4.v1.Error."""
    detail = v1.Error()
    if error is not None:
        detail.canonical_code, detail.message = error.status, str(error)[:chars]
    packed = AnyMessage()
    packed.Pack(detail)
    return packed


def status_of(message: str, packed: list[Message]) -> bytes:
    """The status that goes into the trailers."""
    data: bytes = Status(code=code.UNKNOWN, message=message, details=packed).SerializeToString()
    return data
