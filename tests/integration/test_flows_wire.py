"""Flow records over the wire: real clients through XDP to a running stack, one record for each connection."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.local import netns
from deploy.local.namespaces import address_line, up, whole_checksums
from dpu_app.targets.packet import generation
from tests.integration.clients import ALPHA, BETA
from tests.integration.packet_lab import needs_packet
from tests.integration.processes import BIN, Stack, build, running, until

pytestmark = [
    needs_packet,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]
GROUP_PORT = 8444


@dataclass(frozen=True)
class Cable:
    """The DPU's end, and the client's namespace."""

    interface: str
    client: str
    ipv4: str = "198.18.0.1"
    ipv6: str = "2001:db8:77::1"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command at the client's end."""
        return subprocess.run(
            [*netns.prefix(self.client, own_sysfs=False), *command], capture_output=True, text=True, timeout=30
        )


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """Two namespaces and a cable between them; what this thread starts meanwhile runs at the DPU's end."""
    dpu, client = f"flows-{os.getpid()}-dpu", f"flows-{os.getpid()}-client"
    near, far = f"near{os.getpid()}", f"far{os.getpid()}"
    try:
        netns.ip([f"netns add {dpu}", f"netns add {client}"])
        netns.ip([f"link add {near} netns {dpu} type veth peer name {far} netns {client}"])
        for name, interface, host in ((dpu, near, 1), (client, far, 2)):
            addresses = (f"198.18.0.{host}/24", f"2001:db8:77::{host}/64")
            netns.ip([*up("lo", interface), *(address_line(one, interface) for one in addresses)], name)
            whole_checksums(name, interface)
        with netns.inside(dpu):
            yield Cable(near, client)
    finally:
        for name in (dpu, client):
            netns.remove(name)
        # What the agent leaves in force on purpose.
        generation.remove(generation.folder_of(near))


@pytest.fixture(scope="module")
def stack(wire: Cable, tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """A stack behind VIPs of both families whose packets XDP steers to its listeners."""
    made = build(tmp_path_factory.mktemp("wire"), certs)
    yaml = YAML()
    desired = yaml.load(made.config)
    (listener,) = desired["listeners"]
    addresses = (wire.ipv4, wire.ipv6)
    desired["listeners"] = [
        {**listener, "name": name, "address": f"{address}:{GROUP_PORT}"}
        for name, address in zip(("four", "six"), (wire.ipv4, f"[{wire.ipv6}]"), strict=True)
    ]
    desired["packet"] = {
        "interface": wire.interface,
        "vips": [{"service": "chat", "address": address, "port": 443} for address in addresses],
        "steer": [{"service": "chat", "groups": [{"name": "blue", "port": GROUP_PORT, "weight_percent": 100}]}],
        "flows": {"closing_timeout": "1s"},
    }
    desired["telemetry"]["flows"] = {"json_file": "flows.jsonl"}
    yaml.dump(desired, made.config)
    made.agent.command += ["--xdp", "--journal", str(made.folder / "requests.jsonl")]
    yield from running(made)


def ask(wire: Cable, address: str, key: str, *more: str) -> list[tuple[str, int]]:
    """One curl: a chat, and whatever more on the same connection. (status, its own port) of each request."""
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4})
    headers = ["-H", f"authorization: Bearer {key}", "-H", "content-type: application/json"]
    form = ["-o", "/dev/null", "-w", "%{http_code} %{local_port}\\n"]
    command = ["curl", "-sk", "--max-time", "20", "--connect-to", f"::{address}:443", *headers, "-d", body]
    chat = "https://localhost/v1/chat/completions"
    done = wire.run(*command, *form, chat, *(part for _ in more for part in (*form, chat)))
    return [(status, int(port)) for status, port in (line.split() for line in done.stdout.splitlines())]


def written(stack: Stack, ports: set[int]) -> dict[int, dict[str, Any]]:
    """The records of connections, by the client's port; waits until each has one, which is a grace after its end."""
    path = stack.folder / "flows.jsonl"
    found: dict[int, dict[str, Any]] = {}

    def there() -> bool:
        lines = path.read_text().splitlines() if path.exists() else []
        found.update({one["client_port"]: one for one in map(json.loads, lines) if one["client_port"] in ports})
        return found.keys() == ports

    until(there, f"records of {ports}", 30)
    return found


def test_each_connection_has_one_record_of_its_packets_and_its_requests(wire: Cable, stack: Stack) -> None:
    six = f"[{wire.ipv6}]"
    asked = {
        "four": ask(wire, wire.ipv4, ALPHA),
        "twice": ask(wire, wire.ipv4, ALPHA, "again"),
        "six": ask(wire, six, BETA),
        "refused": ask(wire, wire.ipv4, "sk-nobody"),
    }
    assert [[status for status, _ in found] for found in asked.values()] == [["200"], ["200"] * 2, ["200"], ["401"]]
    ports = {name: found[0][1] for name, found in asked.items()}
    assert len({port for found in asked.values() for _, port in found}) == 4
    records = written(stack, set(ports.values()))
    four, twice, over_six, refused = (records[port] for port in ports.values())
    assert {one["end"] for one in records.values()} == {"ended"}
    assert {(one["server_port"], one["group_port"], one["group"]) for one in records.values()} == {(443, 8444, "blue")}
    assert [one["requests"] for one in (four, twice, over_six, refused)] == [1, 2, 1, 1]
    assert [one["tenant"] for one in (four, twice, over_six, refused)] == ["alpha", "alpha", "beta", ""]
    assert [one["outcome"] for one in (four, refused)] == ["answered", "refused"]
    assert (over_six["client"], over_six["server"], over_six["listener"]) == ("2001:db8:77::2", wire.ipv6, "six")
    assert (four["client"], four["server"], four["listener"]) == ("198.18.0.2", wire.ipv4, "four")
    assert all(one["packets_in"] > 4 and one["bytes_out"] > 1_000 for one in records.values())
    lines = [json.loads(line) for line in (stack.folder / "flows.jsonl").read_text().splitlines()]
    assert len(lines) == len({one["client_port"] for one in lines})
    tokens = sum(line["completion_tokens"] for line in stack.journal())
    assert sum(one["tokens_out"] for one in lines) == tokens > 0


def test_command_follows_the_next_connection(wire: Cable, stack: Stack) -> None:
    command = [
        str(BIN / "dpu-agent"),
        "flows",
        "--state-dir",
        str(stack.folder / "state"),
        "-o",
        "json",
        "--count",
        "1",
    ]
    with subprocess.Popen([*command, "--service", "chat"], stdout=subprocess.PIPE, text=True) as follower:
        # It says nothing before the first record, so connections are made until it has one.
        ports = []

        def has_one() -> bool:
            ports.append(ask(wire, wire.ipv4, ALPHA)[0][1])
            return follower.poll() is not None

        until(has_one, "the command has a record", 30)
        assert follower.stdout is not None
        found = json.loads(follower.stdout.read())
    assert (found["end"], found["requests"], found["tenant"]) == ("ended", 1, "alpha")
    assert found["client_port"] in ports


def test_metrics_of_the_agent_say_the_same(stack: Stack) -> None:
    samples = stack.agent.metrics()
    values = {name: value for (name, _), value in samples.items() if re.match("dpu_flow_(table|joins)", name)}
    assert values["dpu_flow_table_entries_max"] == 65_536
    lost = {
        dict(labels)["where"]: value for (name, labels), value in samples.items() if name.endswith("records_lost_total")
    }
    assert lost.keys() >= {"ring", "journal_unreadable"} and set(lost.values()) == {0}
