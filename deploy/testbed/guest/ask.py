"""Asks one streamed chat question over TLS 1.3 and prints the tokens as they arrive. Standard library only.

Runs inside the testbed's machine, where starting the OpenAI SDK alone would take half a minute of emulation.
Exit status 1 when the stream does not end with a finish reason and `[DONE]`, or when a word of the question is missing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any


def chunks(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Chunks of the event stream up to `[DONE]`; raises EOFError when the stream ends without it."""
    for line in answer:
        if not line.startswith(b"data: "):
            continue
        data = line.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            return
        chunk: dict[str, Any] = json.loads(data)
        yield chunk
    raise EOFError("the stream ended without [DONE]")


def ask(host: str, port: int, authority: str, key: str, question: str) -> http.client.HTTPResponse:
    """Sends the request; the answer's body is still to be read."""
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=120)
    body = {"model": "chat", "messages": [{"role": "user", "content": question}], "stream": True}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection.getresponse()


def main() -> int:
    """Command line; facts of the stream as `fact name=value` lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--authority", required=True, help="CA file")
    parser.add_argument("--key", default="sk-dev-alpha")
    parser.add_argument("question")
    wanted = parser.parse_args()
    began = time.monotonic()
    answer = ask(wanted.host, wanted.port, wanted.authority, wanted.key, wanted.question)
    if answer.status != 200:
        print(f"status {answer.status}: {answer.read().decode(errors='replace')}")
        return 1
    said, finish, times = "", None, []
    for chunk in chunks(answer):
        for choice in chunk["choices"]:
            text = choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
            if text:
                times.append(time.monotonic() - began)
                said += text
                print(f"{times[-1] * 1000:8.0f} ms {text!r}", flush=True)
    print(f"fact chat_tokens={len(times)}\nfact chat_finish={finish}")
    print(f"fact chat_first_token_ms={times[0] * 1000 if times else -1:.0f}")
    print(f"fact chat_whole_ms={(time.monotonic() - began) * 1000:.0f}")
    return 0 if said.split() == wanted.question.split() and finish else 1


if __name__ == "__main__":
    sys.exit(main())
