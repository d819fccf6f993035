"""Three more listeners on a stack, for what looks at TLS: modern, old, and one that requires client certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from ruamel.yaml import YAML

from tests.integration.identities import authority_of, issue
from tests.integration.processes import Stack, build, free_ports, running

RSA_BITS = 2048


@dataclass(frozen=True)
class TlsStack:
    """A running stack; the ports of its further listeners."""

    stack: Stack
    modern: int
    """TLS 1.3, ECDSA and RSA, no client certificates: what most clients meet."""
    old: int
    """The same with TLS 1.2."""
    required: int
    """Client certificates required."""


def other_ports(stack: Stack, desired: dict[str, Any]) -> list[int]:
    """Three free ports that the stack, which does not listen yet, has not been promised already."""
    taken = {stack.port, *(process.http for process in [stack.agent, stack.fastpath, *stack.workers])}
    taken |= {int(worker["address"].rpartition(":")[2]) for worker in desired["workers"]}
    return [port for port in free_ports(12) if port not in taken][:3]


def tls_stack(folder: Path, certs: Path) -> Iterator[TlsStack]:
    """Starts it for the time of a fixture."""
    stack = build(folder, certs)
    key = rsa.generate_private_key(65537, RSA_BITS)
    year = timedelta(days=90)
    files = issue(authority_of(certs), folder, "server-rsa", ("localhost",), year, ExtendedKeyUsageOID.SERVER_AUTH, key)
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    first = dict(desired["listeners"][0]["certificates"][0])
    second = {
        "server_names": ["localhost"],
        "certificate_file": str(files.certificate),
        "private_key_file": str(files.key),
    }
    ports = other_ports(stack, desired)
    extra: list[dict[str, Any]] = [
        {"name": "modern"},
        {"name": "old", "tls": {"min_version": "1.2"}},
        {"name": "strict", "client_certificates": "required", "client_ca_files": [str(certs / "ca.pem")]},
    ]
    for port, listener in zip(ports, extra, strict=True):
        address = f"127.0.0.1:{port}"
        desired["listeners"].append({"address": address, "certificates": [dict(first), dict(second)], **listener})
    with stack.config.open("w") as file:
        yaml.dump(desired, file)
    for _ in running(stack):
        yield TlsStack(stack, *ports)
