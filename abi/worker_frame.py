"""Worker frames in Python: the second, independent side of the codec in `fastpath/types/src/wire.rs`.

Little-endian throughout; the layout is `tables/worker_frame.toml` (design section 6.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from abi.gen import worker_frame as layout
from abi.gen.worker_frame import Frame, ModelInfo

HEADER = struct.Struct("<BBHIQ16s")
INTEGERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q"}
FIXED_BYTES = {"bytes16": 16, "bytes32": 32}


class FrameError(ValueError):
    """The bytes are not a worker frame; the peer is at fault and a retry does not help."""


@dataclass(frozen=True)
class Envelope:
    """A frame with what its header says. `request_id` is 16 bytes; `sequence` counts from 0 per direction."""

    body: Frame
    sequence: int = 0
    request_id: bytes = bytes(16)
    flags: int = 0


def encode(envelope: Envelope) -> bytes:
    """The bytes of one whole frame. Raises FrameError where a value does not fit."""
    body = envelope.body
    fields = b"".join(put(kind, getattr(body, name)) for name, kind in body.FIELDS)
    if layout.HEADER_BYTES + len(fields) > layout.FRAME_BYTES_MAX:
        raise FrameError("the frame is too large")
    head = (layout.VERSION, body.KIND, envelope.flags, len(fields), envelope.sequence, envelope.request_id)
    return HEADER.pack(*head) + fields


def decode(data: bytes) -> Envelope:
    """One whole frame from exactly its bytes. Raises FrameError."""
    if len(data) < layout.HEADER_BYTES:
        raise FrameError("shorter than a header")
    version, kind, flags, body_bytes, sequence, request_id = HEADER.unpack_from(data)
    if version != layout.VERSION:
        raise FrameError(f"version {version}")
    if kind not in layout.KINDS:
        raise FrameError(f"unknown kind {kind}")
    cls = layout.KINDS[kind]
    if flags & ~sum(cls.FLAGS.values()):
        raise FrameError(f"unknown flags {flags:#x}")
    if body_bytes != len(data) - layout.HEADER_BYTES or len(data) > layout.FRAME_BYTES_MAX:
        raise FrameError("the length in the header is not the length of the frame")
    reader = Reader(data, layout.HEADER_BYTES)
    values = {name: reader.take(field) for name, field in cls.FIELDS}
    if reader.offset != len(data):
        raise FrameError("bytes after the last field")
    return Envelope(cls(**values), sequence, request_id, flags)


def put(kind: str, value: Any) -> bytes:
    """One field as bytes."""
    try:
        if kind in INTEGERS:
            return struct.pack(INTEGERS[kind], value)
        if kind in FIXED_BYTES:
            return exactly(value, FIXED_BYTES[kind])
        if kind == "string":
            return put_string(value)
        if kind == "bytes":
            return struct.pack("<I", len(value)) + bytes(value)
        return put_models(value)
    except struct.error as error:
        raise FrameError(str(error)) from error


def put_string(text: str) -> bytes:
    """u16 length, then UTF-8."""
    data = text.encode()
    if len(data) > layout.STRING_BYTES_MAX:
        raise FrameError("string too long")
    return struct.pack("<H", len(data)) + data


def put_models(models: tuple[ModelInfo, ...]) -> bytes:
    """u16 count, then each model."""
    if len(models) > layout.MODELS_MAX:
        raise FrameError("too many models")
    parts = [struct.pack("<H", len(models))]
    for model in models:
        parts += [put_string(model.name), exactly(model.digest, 32), put_string(model.quantisation)]
        parts.append(struct.pack("<I", model.context_tokens))
    return b"".join(parts)


def exactly(data: bytes, size: int) -> bytes:
    """`data`, which must have `size` bytes."""
    if len(data) != size:
        raise FrameError(f"{len(data)} bytes where {size} belong")
    return bytes(data)


class Reader:
    """A cursor over one frame."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset

    def take(self, kind: str) -> Any:
        """The next field. Raises FrameError where the frame ends inside it."""
        if kind in INTEGERS:
            size = struct.calcsize(INTEGERS[kind])
            return struct.unpack(INTEGERS[kind], self.raw(size))[0]
        if kind in FIXED_BYTES:
            return self.raw(FIXED_BYTES[kind])
        if kind == "string":
            return self.string()
        if kind == "bytes":
            return self.raw(self.take("u32"))
        return self.models()

    def raw(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self.offset + size
        if end > len(self.data):
            raise FrameError("the frame ends inside a field")
        part = self.data[self.offset : end]
        self.offset = end
        return part

    def string(self) -> str:
        """A length-prefixed UTF-8 string."""
        size = self.take("u16")
        if size > layout.STRING_BYTES_MAX:
            raise FrameError("string too long")
        try:
            return self.raw(size).decode()
        except UnicodeDecodeError as error:
            raise FrameError("string is not UTF-8") from error

    def models(self) -> tuple[ModelInfo, ...]:
        """A counted list of models."""
        count = self.take("u16")
        if count > layout.MODELS_MAX:
            raise FrameError("too many models")
        return tuple(ModelInfo(self.string(), self.raw(32), self.string(), self.take("u32")) for _ in range(count))
