"""Readers and workers that do not keep pace: a slow client holds its own engine, a worker that hangs is found again."""

from __future__ import annotations

import json
import signal
import socket
import ssl

from tests.integration.clients import ALPHA, content, script, sync_client, trust
from tests.integration.processes import Process, Stack, total, until

TOKENS = 2000


def ask(stack: Stack, tokens: int) -> ssl.SSLSocket:
    """A streamed question over HTTP/1.1 on a socket with small buffers; nothing of the answer was read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(30)
    raw.connect(("127.0.0.1", stack.port))
    tls = trust(stack).wrap_socket(raw, server_hostname="localhost")
    # Many bytes a token, so that the kernel's buffers are a small part of it.
    text = f"!echo tokens={tokens}"
    body = {"model": "chat", "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": text}]}
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ALPHA}\r\n"
    head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    tls.sendall(head.encode() + data)
    return tls


def waits(stack: Stack) -> float:
    """Streams that had to wait for credit, over all workers."""
    return sum(total(w.metrics(), "dpu_worker_session_events_total", what="credit_wait") for w in stack.workers)


def running(stack: Stack) -> float:
    """Requests in slots, over all workers."""
    return sum(total(worker.metrics(), "dpu_worker_running") for worker in stack.workers)


def test_client_that_reads_slowly_holds_the_engine_back_and_gets_everything(own_stack: Stack) -> None:
    # As many streams as fill the kernel's buffers between us: each holds what it is ahead.
    readers = [ask(own_stack, TOKENS) for _ in range(8)]
    until(lambda: waits(own_stack) >= 1 or running(own_stack) == 0, "the engine waits, or the kernel took it all")
    with sync_client(own_stack) as client:
        other = client.chat.completions.create(model="chat", messages=script(tokens=5))
        assert (other.choices[0].message.content or "").count("tok") == 5
    for reader in readers:
        answer = b""
        while part := reader.recv(65536):
            answer += part
        reader.close()
        assert answer.count(b'"content":" tok"') + answer.count(b'"content":"tok"') == TOKENS
        assert b"data: [DONE]" in answer
    faults = own_stack.fastpath.metrics()
    assert total(faults, "dpu_worker_connection_faults_total", kind="credit_exceeded") == 0
    assert total(faults, "dpu_requests_total", outcome="client_gone") == 0


def test_short_answers_cost_no_credit_frame(own_stack: Stack) -> None:
    with sync_client(own_stack) as client:
        for _ in range(5):
            stream = client.chat.completions.create(model="chat", messages=script(tokens=50), stream=True)
            assert content(stream).count("tok") == 50
    assert total(own_stack.fastpath.metrics(), "dpu_worker_frames_sent_total", kind="CREDIT") == 0


def served(workers: list[Process]) -> Process:
    """The worker that has the stream."""
    until(lambda: any(total(w.metrics(), "dpu_worker_running") for w in workers), "a worker has it")
    return next(w for w in workers if total(w.metrics(), "dpu_worker_running"))


def test_worker_that_hangs_is_lost_its_stream_ends_and_it_is_found_again(own_stack: Stack) -> None:
    stack = own_stack
    with sync_client(stack) as client:
        stream = client.chat.completions.with_raw_response.create(
            model="chat", messages=script(tokens=500, delay_ms=50), max_tokens=500, stream=True
        )
        lines = stream.http_response.iter_lines()
        assert next(line for line in lines if line)
        worker = served(stack.workers)
        worker.send(signal.SIGSTOP)
        try:
            rest = list(lines)
            assert any('"error"' in line for line in rest) and "data: [DONE]" not in rest
            for _ in range(3):
                answer = client.chat.completions.create(model="chat", messages=script(tokens=3))
                assert (answer.choices[0].message.content or "").count("tok") == 3
            lost = lambda: total(stack.fastpath.metrics(), "dpu_worker_up", worker=worker.name) == 0  # noqa: E731
            until(lost, "the worker that hangs is lost")
        finally:
            worker.send(signal.SIGCONT)
    found = lambda: total(stack.fastpath.metrics(), "dpu_worker_up", worker=worker.name) == 1  # noqa: E731
    until(found, "it is found again")
    until(lambda: running(stack) == 0, "what it had was cancelled")


def test_cancel_of_a_client_that_goes_is_timed(own_stack: Stack) -> None:
    with sync_client(own_stack) as client:
        stream = client.chat.completions.create(
            model="chat", messages=script(tokens=500, delay_ms=20), max_tokens=500, stream=True
        )
        next(iter(stream))
        stream.close()
    timed = lambda: total(own_stack.fastpath.metrics(), "dpu_worker_cancel_seconds_count") == 1  # noqa: E731
    until(timed, "the fast path has timed the cancel")
    assert sum(total(w.metrics(), "dpu_worker_cancel_seconds_count") for w in own_stack.workers) == 1
    assert sum(total(w.metrics(), "dpu_worker_engine_cancel_seconds_count") for w in own_stack.workers) == 1
