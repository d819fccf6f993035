"""The same request over each transport that one machine has; the journal names the one that UCX took."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.clients import script, sync_client
from tests.integration.processes import build, running


@pytest.mark.parametrize(("asked", "taken"), [("shm", "posix"), ("tcp", "tcp")])
def test_transport_that_was_asked_for_carries_the_tokens(tmp_path: Path, certs: Path, asked: str, taken: str) -> None:
    with contextmanager(running)(build(tmp_path, certs, transport=asked)) as stack, sync_client(stack) as client:
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=script(tokens=200))
        usage = raw.parse().usage
        record = stack.record_of(raw.headers["x-request-id"])
    assert usage is not None
    assert usage.completion_tokens == 200
    # UCX names the device behind a slash where there is one.
    assert record["transport"].split("/")[0] == taken
