"""One frame of every kind, and more where a kind has phases or flags; `tests/data/frames` has their bytes."""

from __future__ import annotations

from pathlib import Path

from abi.gen.worker_frame import (
    Cancel,
    Cancelled,
    Credit,
    Drain,
    End,
    Fail,
    Hello,
    Load,
    ModelInfo,
    Ping,
    Request,
    Result,
    Tokens,
    Welcome,
)
from abi.worker_frame import Envelope

FOLDER = Path(__file__).resolve().parents[2] / "data" / "frames"
ID = bytes.fromhex("0123456789abcdef0011223344556677")
NONCE_F, NONCE_W = b"\xf1" * 32, b"\xe2" * 32
PROOF_F, PROOF_W = bytes(range(32)), bytes(range(32, 64))
MODELS = (
    ModelInfo("smollm2", b"\xd5" * 32, "Q4_1", 2048),
    ModelInfo("größer", bytes(32), "", 131_072),
)

FRAMES: dict[str, Envelope] = {
    "hello_phase0": Envelope(Hello(0, 1, "fastpath/0", NONCE_F, bytes(32))),
    "hello_phase1": Envelope(Hello(1, 1, "fastpath/0", NONCE_F, PROOF_F), sequence=1),
    "welcome_phase0": Envelope(Welcome(0, 1, NONCE_W, PROOF_W, "", "", 0, ())),
    "welcome_phase1": Envelope(Welcome(1, 1, NONCE_W, bytes(32), "w0", "llama", 4, MODELS), sequence=1),
    "request_stream": Envelope(
        Request(
            30_000,
            7,
            42,
            256,
            b"\xa7" * 16,
            b"\xb8" * 32,
            2,
            "stable",
            "smollm2",
            b"\xc9" * 16,
            0xB7AD6B7169203331,
            1,
            "rojo=00f0",
            b'{"model":"smollm2"}',
        ),
        sequence=2,
        request_id=ID,
        flags=1,
    ),
    "request_completions_embeddings": Envelope(
        Request(1, 255, 2**64 - 1, 0, bytes(16), bytes(32), 0, "", "", bytes(16), 0, 0, "", b""),
        sequence=3,
        request_id=ID,
        flags=6,
    ),
    "tokens": Envelope(Tokens(1, '[{"delta":{"content":"é"}}]'.encode()), sequence=4, request_id=ID),
    "tokens_finish": Envelope(Tokens(0, b"[]"), sequence=5, request_id=ID, flags=1),
    "result": Envelope(Result("stop", 12, 3, 45, 1_000, 20_000, 300_000, b"[1]"), sequence=6, request_id=ID),
    "end": Envelope(End("length", 12, 0, 256, 1, 2, 2**40), sequence=7, request_id=ID),
    "fail": Envelope(Fail(502, "engine failed"), sequence=8, request_id=ID),
    "fail_retry": Envelope(Fail(411, ""), sequence=9, request_id=ID, flags=1),
    "cancel": Envelope(Cancel(600, 2_000), sequence=10, request_id=ID),
    "cancelled": Envelope(Cancelled(17, 3, 850), sequence=11, request_id=ID),
    "credit": Envelope(Credit(65_536), sequence=12, request_id=ID),
    "load": Envelope(Load(4, 9, 8_192), sequence=13),
    "drain": Envelope(Drain(412), sequence=14),
    "ping": Envelope(Ping(0x1122334455667788), sequence=15),
    "ping_answer": Envelope(Ping(0x1122334455667788), sequence=2**64 - 1, flags=1),
}


def golden(name: str) -> bytes:
    """The bytes of a file: hex digits, spaces and line ends; what follows a # is for people."""
    lines = (FOLDER / f"{name}.hex").read_text().splitlines()
    return bytes.fromhex("".join(line.partition("#")[0] for line in lines))


def index() -> list[tuple[str, str]]:
    """Kind and file name of every golden frame."""
    lines = (FOLDER / "index.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return [(kind, name) for kind, name in rows]
