"""The work that every side does: one chat request, and what a right answer to it looks like."""

from __future__ import annotations

import dataclasses
import http.client
import json
import ssl
from pathlib import Path

KEY = "sk-dev-alpha"
PATH = "/v1/chat/completions"
BODY_BYTES = 1024
ANSWER_TOKENS = 8

CIPHER = "TLS_AES_128_GCM_SHA256"
"""Offered alone, because the sides would choose differently: HAProxy prefers AES-256, nginx what the client likes."""

_FILLER = "The quick brown fox jumps over the lazy dog while the data processing unit looks at every word. "


class WrongAnswer(RuntimeError):
    """A side does not do the work: nothing that it says about speed counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """One shape of load."""

    name: str
    """As in the lines of the last block, for example h1_c32."""
    connections: int
    """Kept connections."""
    streams: int = 1
    """Requests in flight on each connection; above 1 only with HTTP/2."""
    http2: bool = False
    """HTTP/2 instead of HTTP/1.1."""


SCENARIOS = (
    Scenario(name="h1_c1", connections=1),
    Scenario(name="h1_c32", connections=32),
    Scenario(name="h2_c8x8", connections=8, streams=8, http2=True),
)
DEFAULT_SCENARIOS = ("h1_c1", "h1_c32")


def chat_body() -> bytes:
    """A chat request of exactly 1 KiB. The user's message is a script for the echo engine; the system's fills up."""
    missing = BODY_BYTES - len(_chat(""))
    return _chat((_FILLER * (missing // len(_FILLER) + 1))[:missing])


def _chat(system: str) -> bytes:
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"!echo tokens={ANSWER_TOKENS}"},
    ]
    return json.dumps({"model": "chat", "messages": messages, "max_tokens": 64, "temperature": 0.2}).encode()


def answer_body() -> bytes:
    """What the back end of nginx and HAProxy says: byte for byte the shape of our own answer, 351 bytes."""
    document = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " tok" * ANSWER_TOKENS},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 166,
            "completion_tokens": ANSWER_TOKENS,
            "total_tokens": 166 + ANSWER_TOKENS,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def check_answer(port: int, authority: Path) -> int:
    """Asks once, with the certificate checked, and returns the body's length in bytes; raises WrongAnswer."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    try:
        connection.request("POST", PATH, chat_body(), headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise WrongAnswer(f"status {answer.status}: {body[:300]!r}")
    _check_shape(body)
    return len(body)


def _check_shape(body: bytes) -> None:
    try:
        document = json.loads(body)
        content = document["choices"][0]["message"]["content"]
        used = document["usage"]["completion_tokens"]
    except (ValueError, LookupError, TypeError) as error:
        raise WrongAnswer(f"not a completion: {body[:300]!r}") from error
    if len(content.split()) != ANSWER_TOKENS or used != ANSWER_TOKENS:
        raise WrongAnswer(f"{len(content.split())} words and {used} tokens instead of {ANSWER_TOKENS}: {body[:300]!r}")
