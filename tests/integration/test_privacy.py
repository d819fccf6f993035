"""No prompt, no answer and no secret in anything that the product writes down: journal, logs, metrics, status."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.clients import ALPHA, BETA, trust, user
from tests.integration.processes import ROOT, Stack, total, until

MARK = "Xylophonquark"
SECRETS = [
    "sk-stranger-4711",
    "conversation-4712",
    "cookie-4713",
    "state-4714",
    "user-4715",
    "query-4716",
    "agent-4717",
]
HEADERS = {
    "x-conversation-id": SECRETS[1],
    "cookie": f"session={SECRETS[2]}",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": f"vendor={SECRETS[3]}",
    "user-agent": SECRETS[6],
}
PAGES = ("/metrics", "/readyz", "/livez")


def send_everywhere(stack: Stack) -> int:
    """The mark in every place where a prompt or an answer can be, with every ending; returns how many requests."""
    script = f"!echo tokens=3 fail_after=1 {MARK}=1"  # a script that is refused: its text is in the engine's message
    bodies: list[bytes] = [
        json.dumps(body).encode()
        for body in (
            {"model": "chat", "messages": user(f"{MARK} one"), "user": SECRETS[4]},
            {"model": "chat", "messages": user(f"{MARK} two"), "stream": True, "metadata": {MARK: MARK}},
            {"model": "chat", "messages": [{"role": "system", "content": MARK}, *user(script)]},
            {"model": "chat", "messages": user(MARK), "stop": [MARK], MARK: MARK},
            {
                "model": "chat",
                "messages": user(MARK),
                "tools": [{"type": "function", "function": {"name": MARK + "!"}}],
            },
            {"model": MARK, "messages": user(MARK)},
            {"model": "chat", "messages": MARK},
        )
    ]
    bodies += [f'{{"model":"chat","{MARK}'.encode(), f'{{"{MARK}":1,"{MARK}":2}}'.encode(), MARK.encode() + b"\xff"]
    sent = 0
    with httpx.Client(base_url=stack.url, verify=trust(stack), headers=HEADERS, timeout=20) as client:
        for key in (ALPHA, BETA, SECRETS[0]):
            for body in bodies:
                headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
                client.post(f"/v1/chat/completions?q={SECRETS[5]}", content=body, headers=headers)
            prompt = json.dumps({"model": "chat", "prompt": MARK, "input": MARK}).encode()
            for path in (f"/v1/models/{MARK}", f"/v1/{MARK}", f"/{SECRETS[0]}"):
                client.get(path, headers={"authorization": f"Bearer {key}"})
            client.post("/v1/embeddings", content=prompt, headers=headers)
            sent += len(bodies) + 4
    return sent


def written(stack: Stack) -> Iterator[tuple[str, str]]:
    """Everything that the processes have said, by where."""
    for process in (stack.agent, stack.fastpath, *stack.workers):
        yield f"{process.name}'s log", process.log.read_text(errors="replace")
        for page in PAGES:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.http}{page}", timeout=5) as answer:
                yield f"{process.name}'s {page}", answer.read().decode(errors="replace")
    yield "journal", (stack.folder / "requests.jsonl").read_text()


@pytest.fixture(scope="module")
def outputs(stack: Stack) -> list[tuple[str, str]]:
    """All outputs after every kind of request."""
    before = total(stack.fastpath.metrics(), "dpu_requests_received_total")
    sent = send_everywhere(stack)
    assert total(stack.fastpath.metrics(), "dpu_requests_received_total") == before + sent
    until(lambda: len(stack.journal()) >= before + sent, "every request has its line", 10)
    return list(written(stack))


@pytest.mark.parametrize("secret", [MARK, ALPHA, BETA, *SECRETS])
def test_nothing_that_was_sent_is_written_down(outputs: list[tuple[str, str]], secret: str) -> None:
    assert [where for where, text in outputs if secret.lower() in text.lower()] == []


def test_no_digest_of_a_key_is_written_down(outputs: list[tuple[str, str]]) -> None:
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (ALPHA, BETA)]
    assert [where for where, text in outputs for digest in digests if digest in text] == []


def test_journal_has_the_fields_that_are_documented_and_no_others(stack: Stack, outputs: list[tuple[str, str]]) -> None:
    page = (ROOT / "docs/guide/journal.md").read_text()
    documented = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    records = stack.journal()
    assert records and outputs
    for record in records:
        assert list(record) == documented


def test_folder_of_the_stack_is_what_was_looked_at(stack: Stack) -> None:
    logs = {path.name for path in Path(stack.folder).glob("*.log")}
    assert logs == {"agent.log", "fastpath.log", "w0.log", "w1.log"}
