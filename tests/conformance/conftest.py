"""One stack with three listeners: the file's own, one whose limits are hit in a second, one that waits for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conformance.wire import Target
from tests.integration.processes import build, free_ports, make_certificates, running

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


PATIENT: dict[str, Any] = dict.fromkeys(
    ["handshake_timeout", "head_timeout", "body_timeout", "body_grace", "idle_timeout", "write_timeout"], "10m"
)
"""The sizes of the defaults, and time to look at what they come to."""


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a development CA, a server certificate and the workers' key."""
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


def with_listener(config: Path, name: str, port: int, limits: dict[str, Any]) -> None:
    """Adds a listener to a desired state, with the first one's certificates."""
    yaml = YAML()
    desired = yaml.load(config.read_text())
    first = desired["listeners"][0]
    certificate = dict(first["certificates"][0])
    desired["listeners"].append(
        {"name": name, "address": f"127.0.0.1:{port}", "certificates": [certificate], "limits": dict(limits)}
    )
    with config.open("w") as file:
        yaml.dump(desired, file)


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[dict[str, Target]]:
    """The listeners of one stack by name."""
    stack = build(tmp_path_factory.mktemp("stack"), certs)
    ports = free_ports(2)
    with_listener(stack.config, "tight", ports[0], TIGHT)
    with_listener(stack.config, "patient", ports[1], PATIENT)
    for one in running(stack):
        yield {
            "public": Target(one, one.port),
            "tight": Target(one, ports[0]),
            "patient": Target(one, ports[1]),
        }


@pytest.fixture
def target(targets: dict[str, Target]) -> Target:
    """The listener with the limits of the development file."""
    return targets["public"]


@pytest.fixture
def tight(targets: dict[str, Target]) -> Target:
    """The listener with small limits."""
    return targets["tight"]


@pytest.fixture
def patient(targets: dict[str, Target]) -> Target:
    """The listener that waits for minutes."""
    return targets["patient"]
