"""Addresses and prefixes as the 128 bits that the tables' keys have: IPv4 as ::ffff:a.b.c.d."""

from __future__ import annotations

import ipaddress

MAPPED = 0xFFFF << 32
"""The first address of ::ffff:0:0/96."""
ALL = (1 << 128) - 1


def address_to_int(text: str) -> int:
    """128 bits of an address."""
    address = ipaddress.ip_address(text)
    return MAPPED | int(address) if address.version == 4 else int(address)


def address_from_int(value: int) -> str:
    """The address in its shortest form."""
    if value >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(value & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(value))


def mask(length: int, bits: int = 128) -> int:
    """`length` ones, then zeros."""
    return ((1 << length) - 1) << (bits - length)


def mask_length(value: int, bits: int = 128) -> int | None:
    """The length of a mask, None where it is not ones followed by zeros."""
    length = value.bit_count()
    return length if value == mask(length, bits) else None


def prefix_to_key(text: str) -> tuple[int, int, int]:
    """First address, mask, and length of 128 of a prefix."""
    prefix = ipaddress.ip_network(text)
    length = prefix.prefixlen + (96 if prefix.version == 4 else 0)
    first = int(prefix.network_address) | (MAPPED if prefix.version == 4 else 0)
    return first, mask(length), length


def prefix_from_key(first: int, length: int) -> str:
    """The prefix in its shortest form; one inside ::ffff:0:0/96 is IPv4."""
    if length >= 96 and first >> 32 == 0xFFFF:
        return f"{ipaddress.IPv4Address(first & 0xFFFFFFFF)}/{length - 96}"
    return f"{ipaddress.IPv6Address(first)}/{length}"


def holds_ipv4(first: int, length: int) -> bool:
    """Whether a prefix that is written as IPv6 holds every key of an IPv4 address."""
    return length < 96 and MAPPED & mask(length) == first


def never_matches(text: str) -> bool:
    """Whether it is an IPv6 prefix inside ::ffff:0:0/96: frames from there end as `packet_address`."""
    prefix = ipaddress.ip_network(text)
    return prefix.version == 6 and prefix.prefixlen >= 96 and int(prefix.network_address) >> 32 == 0xFFFF
