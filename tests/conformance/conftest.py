"""One stack with two listeners: the file's own, and one whose limits are small enough to be hit within a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conformance.wire import Target
from tests.integration.processes import Stack, build, free_ports, make_certificates, running

TIGHT: dict[str, Any] = {
    "connections_max": 40,
    "head_bytes_max": 2048,
    "headers_max": 16,
    "body_bytes_max": 32_768,
    "json_depth_max": 8,
    "handshake_timeout": "1s",
    "head_timeout": "1s",
    "body_timeout": "2s",
    "body_bytes_per_s_min": 1000,
    "body_grace": "1s",
    "idle_timeout": "1s",
    "write_timeout": "1s",
    "request_timeout": "2s",
    "drain_timeout": "1s",
    "requests_per_connection_max": 20,
    "requests_running_max": 6,
    "pipelined_bytes_max": 1024,
    "bodies_bytes_max": 65_536,
    "h2_streams_max": 8,
    "h2_resets_max": 10,
    "h2_errors_max": 6,
    "h2_continuations_max": 3,
    "h2_control_frames_max": 200,
    "h2_small_data_max": 32,
}
"""Every limit that a listener has; a test compares the names with the model's."""


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a development CA, a server certificate and the workers' key."""
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


def with_tight_listener(config: Path, port: int) -> None:
    """Adds a second listener to a desired state: the first one's certificates, small limits."""
    yaml = YAML()
    desired = yaml.load(config.read_text())
    first = desired["listeners"][0]
    certificate = dict(first["certificates"][0])
    desired["listeners"].append(
        {"name": "tight", "address": f"127.0.0.1:{port}", "certificates": [certificate], "limits": dict(TIGHT)}
    )
    with config.open("w") as file:
        yaml.dump(desired, file)


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[tuple[Stack, int]]:
    """The stack, and the port of its second listener."""
    stack = build(tmp_path_factory.mktemp("stack"), certs)
    port = free_ports(1)[0]
    with_tight_listener(stack.config, port)
    for running_stack in running(stack):
        yield running_stack, port


@pytest.fixture
def target(both: tuple[Stack, int]) -> Target:
    """The listener with the limits of the development file."""
    return Target(both[0], both[0].port)


@pytest.fixture
def tight(both: tuple[Stack, int]) -> Target:
    """The listener with small limits."""
    return Target(*both)
