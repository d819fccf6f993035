"""Addresses and ports as they lie in keys."""

from __future__ import annotations

import ipaddress


def packed(address: str) -> bytes:
    """16 bytes; IPv4 as ::ffff:a.b.c.d."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def port_bytes(port: int) -> bytes:
    """Network order."""
    return port.to_bytes(2, "big")
