"""p4runtime-shell, which somebody else wrote, opens our server and is told precisely what is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanAcl, PlanBucket, PlanMeter, PlanTables, PlanVip
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.options import ServerOptions
from dpu_app.p4rt.server import Server, serve
from dpu_app.p4rt.stubs import code

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".run/p4shell/bin/python"
STEPS = Path(__file__).with_name("p4shell_steps.py")
DENIED = int(Reason.ACL_DENIED)
TIMEOUT_S = 120

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no p4runtime-shell: deploy/setup/p4shell.sh installs it")


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def server(backend: MemoryBackend) -> Iterator[Server]:
    made = serve(backend, ServerOptions(address="127.0.0.1:0", plaintext=True))
    yield made
    made.close()


def shell(server: Server, step: str) -> dict[str, Any]:
    """What the shell said of each part of a step."""
    command = [str(PYTHON), str(STEPS), f"127.0.0.1:{server.port}", step]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["step"]: line for line in lines}


def only_error(said: dict[str, Any]) -> tuple[int, str]:
    """Code and text of the one entry that failed."""
    assert said["ok"] is False
    ((status, message),) = said["errors"]
    return status, message


def test_entries_are_written_and_mistakes_have_their_codes(server: Server, backend: MemoryBackend) -> None:
    said = shell(server, "write")
    assert said["insert"]["ok"] and said["vip"]["ok"] and said["modify"]["ok"]
    assert only_error(said["insert again"])[0] == code.ALREADY_EXISTS
    assert only_error(said["delete what is not there"])[0] == code.NOT_FOUND
    status, message = only_error(said["wrong priority"])
    assert status == code.INVALID_ARGUMENT
    assert "has to be 241, not 7" in message
    status, message = only_error(said["no prefix"])
    assert status == code.INVALID_ARGUMENT
    assert "has to be a prefix" in message
    assert said["read"]["ids"] == ["02"]
    assert backend.banks[0].acl == (PlanAcl(1, "198.51.100.0/24", 0, DENIED),)
    assert backend.banks[0].vips == (PlanVip(2, "2001:db8::10", 6, 443),)


def test_default_entry_flips_the_bank(server: Server, backend: MemoryBackend) -> None:
    said = shell(server, "flip")
    assert said["flip"]["ok"]
    assert said["read"]["banks"] == ["01"]
    assert backend.bank == 1


def test_first_cell_sets_the_rate_of_a_block(server: Server, backend: MemoryBackend) -> None:
    said = shell(server, "meter")
    status, message = only_error(said["cell 17"])
    assert status == code.INVALID_ARGUMENT
    assert "begins at 16" in message
    assert said["cell 16"]["ok"]
    assert said["read"]["cirs"] == [5]
    assert backend.banks[0].meters == (PlanMeter(1, 32, 64, 16, 16, source_packets=PlanBucket(5, 6)),)


def test_counters_are_those_of_the_back_end(server: Server, backend: MemoryBackend) -> None:
    backend.counted[DENIED] = (7, 700)
    assert shell(server, "count")["count"]["found"] == [[7, 700]]


def test_tables_of_the_agent_are_read_and_not_written(server: Server, backend: MemoryBackend) -> None:
    backend.writable = False
    backend.banks[0] = PlanTables(vips=(PlanVip(9, "2001:db8::10", 6, 443),))
    said = shell(server, "write")
    assert said["insert"]["code"] == "FAILED_PRECONDITION"
    assert "packet.programmed_by" in said["insert"]["message"]
    assert sorted(said["read"]["ids"]) == ["00", "09"]
