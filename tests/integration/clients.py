"""The unmodified OpenAI SDK as its users make it, with our CA and without retries: a test wants the first answer."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from tests.integration.processes import Stack

ALPHA = "sk-dev-alpha"
BETA = "sk-dev-beta"
TIMEOUT_S = 30.0


def trust(stack: Stack) -> ssl.SSLContext:
    """Trusts the stack's development CA and nobody else."""
    return ssl.create_default_context(cafile=str(stack.ca))


def sync_client(stack: Stack, key: str = ALPHA) -> openai.OpenAI:
    """Close it with `with`."""
    http = openai.DefaultHttpxClient(verify=trust(stack))
    return openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key, http_client=http, max_retries=0, timeout=TIMEOUT_S)


def async_client(stack: Stack, key: str = ALPHA) -> openai.AsyncOpenAI:
    """Close it with `async with`."""
    http = openai.DefaultAsyncHttpxClient(verify=trust(stack))
    return openai.AsyncOpenAI(
        base_url=f"{stack.url}/v1", api_key=key, http_client=http, max_retries=0, timeout=TIMEOUT_S
    )


def user(text: str) -> list[ChatCompletionMessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def script(**settings: int) -> list[ChatCompletionMessageParam]:
    """A conversation that tells the echo engine what to do, e.g. tokens=5, delay_ms=20."""
    return user("!echo " + " ".join(f"{name}={value}" for name, value in settings.items()))


def content(chunks: Iterable[ChatCompletionChunk]) -> str:
    """The text of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
