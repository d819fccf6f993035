"""The Python codec of the worker frames: round trips, and FrameError for everything that is no frame."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abi.gen import worker_frame as layout
from abi.gen.worker_frame import KINDS, Fail, Frame, ModelInfo, Ping, Tokens
from abi.worker_frame import HEADER, Envelope, FrameError, decode, encode
from tests.unit.abi.frames import FRAMES, golden

texts = st.text(st.characters(codec="utf-8"), max_size=40)
models = st.builds(ModelInfo, texts, st.binary(min_size=32, max_size=32), texts, st.integers(0, 2**32 - 1))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "u8": st.integers(0, 2**8 - 1),
    "u16": st.integers(0, 2**16 - 1),
    "u32": st.integers(0, 2**32 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "bytes16": st.binary(min_size=16, max_size=16),
    "bytes32": st.binary(min_size=32, max_size=32),
    "string": texts,
    "bytes": st.binary(max_size=80),
    "models": st.lists(models, max_size=4).map(tuple),
}


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """Any frame of any kind with any flags that it knows."""
    cls: type[Frame] = draw(st.sampled_from(list(KINDS.values())))
    body = cls(**{name: draw(VALUES[kind]) for name, kind in cls.FIELDS})
    flags = sum(draw(st.sets(st.sampled_from(list(cls.FLAGS.values()))))) if cls.FLAGS else 0
    return Envelope(body, draw(VALUES["u64"]), draw(VALUES["bytes16"]), flags)


@settings(deadline=None)
@given(envelopes())
def test_frame_survives_the_wire(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@settings(deadline=None)
@given(envelopes(), st.data())
def test_cut_frame_is_refused(envelope: Envelope, data: st.DataObject) -> None:
    whole = encode(envelope)
    with pytest.raises(FrameError):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(deadline=None)
@given(envelopes(), st.binary(min_size=1, max_size=20))
def test_frame_with_bytes_after_it_is_refused(envelope: Envelope, more: bytes) -> None:
    with pytest.raises(FrameError):
        decode(encode(envelope) + more)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_frame_error(data: bytes) -> None:
    try:
        decode(data)
    except FrameError:
        pass


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_flipped_byte_raises_nothing_but_frame_error(name: str, data: st.DataObject) -> None:
    frame = bytearray(golden(name))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(frame))
    except FrameError:
        pass


def header(version: int = 1, kind: int = 13, flags: int = 0, body_bytes: int = 8) -> bytes:
    return HEADER.pack(version, kind, flags, body_bytes, 0, bytes(16))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "shorter than a header"),
        (header()[:-1], "shorter than a header"),
        (header(version=2) + bytes(8), "version 2"),
        (header(kind=0) + bytes(8), "unknown kind 0"),
        (header(kind=14) + bytes(8), "unknown kind 14"),
        (header(flags=2) + bytes(8), "unknown flags 0x2"),
        (header(body_bytes=7) + bytes(8), "the length in the header"),
        (header(body_bytes=2**32 - 1) + bytes(8), "the length in the header"),
        (header(body_bytes=9) + bytes(9), "bytes after the last field"),
        (header(body_bytes=7) + bytes(7), "the frame ends inside a field"),
        (header(4, body_bytes=8)[:1] + header(kind=4)[1:] + struct.pack("<II", 0, 2**32 - 1), "version 4"),
        (header(kind=4) + struct.pack("<II", 0, 2**32 - 1), "the frame ends inside a field"),
        (header(kind=7, body_bytes=5) + struct.pack("<HH", 1, 1) + b"\xff", "string is not UTF-8"),
        (header(kind=7, body_bytes=4) + struct.pack("<HH", 1, 4097), "string too long"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        decode(data)


def test_too_many_models_are_refused_both_ways() -> None:
    frame = FRAMES["welcome_phase1"].body
    many = (ModelInfo("m", bytes(32), "", 1),) * (layout.MODELS_MAX + 1)
    with pytest.raises(FrameError, match="too many models"):
        encode(Envelope(type(frame)(**{**vars(frame), "models": many})))
    data = bytearray(encode(Envelope(type(frame)(**{**vars(frame), "models": ()}))))
    data[-2:] = struct.pack("<H", layout.MODELS_MAX + 1)
    with pytest.raises(FrameError, match="too many models"):
        decode(bytes(data))


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(Ping(-1)),
        Envelope(Ping(2**64)),
        Envelope(Tokens(2**32, b"")),
        Envelope(Tokens(0, bytes(layout.FRAME_BYTES_MAX))),
        Envelope(Fail(1, "x" * 4097)),
        Envelope(type(FRAMES["hello_phase0"].body)(**{**vars(FRAMES["hello_phase0"].body), "nonce": bytes(31)})),
    ],
)
def test_value_that_does_not_fit_is_refused(envelope: Envelope) -> None:
    with pytest.raises(FrameError):
        encode(envelope)


def test_largest_frame_is_taken() -> None:
    room = layout.FRAME_BYTES_MAX - layout.HEADER_BYTES - 8
    assert len(encode(Envelope(Tokens(1, bytes(room))))) == layout.FRAME_BYTES_MAX
    with pytest.raises(FrameError, match="too large"):
        encode(Envelope(Tokens(1, bytes(room + 1))))
