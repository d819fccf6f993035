"""Addresses and prefixes as the 128 bits that the tables' keys have: IPv4 as ::ffff:a.b.c.d."""

from __future__ import annotations

import ipaddress
import socket

MAPPED = 0xFFFF << 32
"""The first address of ::ffff:0:0/96."""
MASKS = tuple(((1 << length) - 1) << (128 - length) for length in range(129))


def address_to_int(text: str) -> int:
    """128 bits of an address. (`inet_pton` is a tenth of the time of `ipaddress`, and there may be 262,144 entries.)"""
    if ":" in text:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
    return MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")


def address_from_int(value: int) -> str:
    """The address in its shortest form."""
    if value >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(value & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(value))


def mask(length: int, bits: int = 128) -> int:
    """`length` ones, then zeros."""
    return MASKS[length] >> (128 - bits)


def mask_length(value: int, bits: int = 128) -> int | None:
    """The length of a mask, None where it is not ones followed by zeros."""
    length = value.bit_count()
    return length if value == mask(length, bits) else None


def prefix_to_key(text: str) -> tuple[int, int]:
    """First address, and length of 128, of a prefix without host bits."""
    address, _slash, length = text.partition("/")
    return address_to_int(address), int(length) + (0 if ":" in address else 96)


def prefix_from_key(first: int, length: int) -> str:
    """The prefix in its shortest form; one inside ::ffff:0:0/96 is IPv4."""
    if length >= 96 and first >> 32 == 0xFFFF:
        return f"{ipaddress.IPv4Address(first & 0xFFFFFFFF)}/{length - 96}"
    return f"{ipaddress.IPv6Address(first)}/{length}"


def holds_ipv4(first: int, length: int) -> bool:
    """Whether a prefix that is written as IPv6 holds every key of an IPv4 address."""
    return length < 96 and MAPPED & mask(length) == first


def never_matches(text: str, first: int, length: int) -> bool:
    """Whether it is written as IPv6 and inside ::ffff:0:0/96: frames from there end as `packet_address`."""
    return length >= 96 and first >> 32 == 0xFFFF and ":" in text
