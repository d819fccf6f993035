"""The work that every side does: the requests, what a right answer to them looks like, and the shapes of load."""

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

BEHIND_MAX = 4_096
"""Connections from HAProxy and Envoy to the back end, as in bench/config; nginx has no queue and opens more."""

_FILLER = "The quick brown fox jumps over the lazy dog while the data processing unit looks at every word. "


class WrongAnswer(RuntimeError):
    """A side does not do the work: nothing that it says about speed counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """One shape of load."""

    name: str
    """As in the lines of the last block, for example h1_c32."""
    mode: str = "requests"
    """Of the load client: requests, paced, stream, handshake."""
    unit: str = "request"
    """What the CPU time is divided by."""
    connections: int = 1
    """Kept connections; for handshakes, how many are made side by side."""
    streams: int = 1
    """Requests in flight on each connection; above 1 only with HTTP/2."""
    http2: bool = False
    """HTTP/2 instead of HTTP/1.1."""
    resumed: bool = False
    """Handshakes by ticket."""
    tokens: int = ANSWER_TOKENS
    """Tokens of each answer."""
    delay_ms: int = 0
    """Milliseconds between the tokens of a stream; 0 is full speed."""
    rate_per_s: int = 0
    """Requests a second of the open loop."""
    tenants: int = 1
    """Tenants of the plan, all of which ask in turns; only ours has any."""
    warm_up: int = 200
    """Turns of each connection before the first round."""

    @property
    def files(self) -> int:
        """Descriptors that one process may need: one a connection, and as many behind up to the configured bound."""
        return self.connections + min(self.connections, BEHIND_MAX) + 256


SCENARIOS = (
    Scenario(name="h1_c1", connections=1),
    Scenario(name="h1_c32", connections=32),
    Scenario(name="h1_c1000", connections=1_000, warm_up=5),
    Scenario(name="h2_c8x8", connections=8, streams=8, http2=True),
    Scenario(name="handshake_full", mode="handshake", unit="handshake", connections=8, warm_up=10),
    Scenario(name="handshake_resumed", mode="handshake", unit="handshake", connections=8, warm_up=10, resumed=True),
    Scenario(name="sse_full", mode="stream", unit="event", connections=8, tokens=1_000, warm_up=2),
    Scenario(name="sse_20ms", mode="stream", unit="event", connections=32, tokens=50, delay_ms=20, warm_up=1),
    Scenario(name="paced", mode="paced", connections=32, rate_per_s=1_000),
    Scenario(name="tenants_1", connections=32),
    Scenario(name="tenants_100", connections=32, tenants=100),
    Scenario(name="tenants_10000", connections=32, tenants=10_000),
    # Last: what so many connections leave behind in a process disturbs no other figure.
    Scenario(name="h1_c10000", connections=10_000, warm_up=1),
)
QUICK = ("h1_c32", "h2_c8x8", "handshake_full", "handshake_resumed", "sse_full", "sse_20ms", "paced")
"""The scenarios of a short run."""


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


def stream_body(scenario: Scenario) -> bytes:
    """A chat request whose answer is an event stream of so many tokens, usage included."""
    delay = f" delay_ms={scenario.delay_ms}" if scenario.delay_ms else ""
    document = {
        "model": "chat",
        "messages": [{"role": "user", "content": f"!echo tokens={scenario.tokens}{delay}"}],
        "max_tokens": scenario.tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(document).encode()


def body_of(scenario: Scenario) -> bytes:
    """What is sent in a scenario."""
    return stream_body(scenario) if scenario.mode == "stream" else chat_body()


def keys(tenants: int) -> list[str]:
    """The API keys of a plan's tenants."""
    return [KEY, *(f"sk-bench-{number:05}" for number in range(1, tenants))]


def answer_body() -> bytes:
    """What the back end of nginx, HAProxy and Envoy says: byte for byte the shape of our own answer, 351 bytes."""
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
    except OSError as error:
        raise WrongAnswer(f"no answer: {error}") from error
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
