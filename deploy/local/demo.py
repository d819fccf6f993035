"""`make demo`: a real model answers one question through the whole product; then what was decided, and the end.

Behind the packet stage where this machine can; else it says why not.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import openai
from openai.types import CompletionUsage
from rich.console import Console

from deploy.local.processes import StackError
from deploy.local.settings import add_flags, settings_of
from deploy.local.show import find_record, show_counters, show_record
from deploy.local.show_packet import show_packet, try_denied
from deploy.local.stack import Stack, interruptible, uninterruptible

QUESTION = "What is a network card? Answer in two sentences."
KEY = "sk-dev-alpha"
ALIAS = "gpt-4o-mini"
"""A name that applications have in their code; the configuration makes it our model."""
TIMEOUT_S = 120.0


def ask(console: Console, stack: Stack, question: str, tokens: int) -> str:
    """Asks with the unmodified SDK and prints the tokens as they arrive. Returns the x-request-id."""
    trust = ssl.create_default_context(cafile=str(stack.ca))
    http = openai.DefaultHttpxClient(verify=trust)
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=KEY, http_client=http, max_retries=0, timeout=TIMEOUT_S)
    began = time.monotonic()
    with client:
        raw = client.chat.completions.with_raw_response.create(
            model=ALIAS,
            messages=[{"role": "user", "content": question}],
            max_completion_tokens=tokens,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        first, usage = 0.0, None
        for chunk in raw.parse():
            usage = chunk.usage or usage
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                first = first or time.monotonic()
                console.print(text, end="", style="green", markup=False, highlight=False, soft_wrap=True)
        console.print("\n")
    seen(console, usage, first - began, time.monotonic() - first)
    return raw.headers["x-request-id"]


def seen(console: Console, usage: CompletionUsage | None, first_s: float, rest_s: float) -> None:
    """What the client itself saw of it."""
    if usage is None or first_s < 0:
        raise StackError("the stream ended without tokens or usage")
    per_s = usage.completion_tokens / rest_s if rest_s > 0 else 0.0
    times = f"the first after {first_s * 1000:.0f} ms, then {per_s:.0f} a second"
    console.print(f"{usage.completion_tokens} tokens, {times}, as the client saw it\n", style="dim")


def run(console: Console, stack: Stack, question: str, tokens: int) -> None:
    """The whole demo on a stack that is not started yet. Raises StackError, openai.OpenAIError."""
    where = "behind the packet stage" if stack.place.uplink else "without the packet stage"
    console.print(f"[bold]Starting[/bold] workers, fast path, agent, {where}")
    stack.start()
    console.print(f"\n[bold]Asking[/bold] {ALIAS} at {stack.url} over TLS, with the unmodified openai package")
    console.print(f"> {question}\n", markup=False, highlight=False)
    with stack.place.inside("client"):
        request_id = ask(console, stack, question, tokens)
    if stack.place.uplink:
        try_denied(console, stack)
    show_record(console, find_record(stack.journal, request_id))
    console.print()
    with stack.place.inside("fastpath"):
        show_counters(console, stack.fastpath.health + "/metrics")
    if stack.place.uplink:
        console.print()
        show_packet(console, stack)


def main() -> int:
    """Entry point. 0 when the answer came and everything stopped."""
    # A pipe has no width of its own: wide enough for a digest.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    parser = argparse.ArgumentParser(description="One question to a real model through the whole product.")
    parser.add_argument("--question", default=QUESTION, help="(%(default)s)")
    parser.add_argument("--tokens", type=int, default=80, help="longest answer (%(default)s)")
    add_flags(parser, workers=1, packet="auto")
    given = parser.parse_args()
    interruptible()
    stack = None
    try:
        stack = Stack(settings_of(given), lambda text: console.print(f"  {text}", markup=False))
        run(console, stack, given.question, given.tokens)
    except (StackError, openai.OpenAIError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        uninterruptible()
        if stack is not None:
            stack.stop()
    console.print("\n[bold]Stopped[/bold] everything")
    return 0


if __name__ == "__main__":
    sys.exit(main())
