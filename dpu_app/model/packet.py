"""The packet stage: VIPs, ACL, meters and listener groups (docs/stages/packet.md says what each decides)."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from abi.gen.packet import METER_CELLS_MAX
from dpu_app.model.part import Duration, Items, Name, Part, Percent, refusal, shorter_than

MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
PER_S_MAX = 100_000_000_000
BURST_MAX = 10_000_000_000
"""Buckets count in 10^-9 tokens in 64 bits."""


def ip_address(text: str) -> str:
    """An address in its shortest form. Raises a refusal."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise refusal("is not an IP address", "write one such as 192.0.2.10 or 2001:db8::10") from None
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        raise refusal("is not an address that packets carry", "write IPv4 addresses as IPv4, without a zone")
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise refusal("is not the address of one host", "name the address that clients connect to")
    return str(address)


def ip_prefix(text: str) -> str:
    """A prefix without host bits, in its shortest form. Raises a refusal."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refusal("is not a prefix", "write one such as 192.0.2.0/24 or 2001:db8::/32") from None
    if "/" not in text or str(network.network_address) != str(ipaddress.ip_address(text.split("/")[0])):
        raise refusal("has bits beyond its length", f"write {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        raise refusal("is IPv4 written as IPv6, which no packet carries", "write the IPv4 prefix")
    return str(network)


def power_of_two(value: int) -> int:
    """The value. Raises a refusal."""
    if value & (value - 1):
        raise refusal("is not a power of two", f"use {1 << (value.bit_length() - 1)} or {1 << value.bit_length()}")
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
IpAddress = Annotated[str, AfterValidator(ip_address), Field(examples=["192.0.2.10", "2001:db8::10"])]
IpPrefix = Annotated[str, AfterValidator(ip_prefix), Field(examples=["198.51.100.0/24", "2001:db8::/32"])]


class Vip(Part):
    """An address and port that clients of a service connect to."""

    service: Name
    """The service that it belongs to; services are known by being named here."""
    address: IpAddress
    """Destination address of its packets."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """Transport protocol."""
    port: Port
    """Destination port of its packets."""


class AclEntry(Part):
    """Who may send to a service. The longest matching prefix wins, then the specific port; without any: permit."""

    service: Name
    """Service that it is about."""
    source: IpPrefix
    """Source addresses; 0.0.0.0/0 and ::/0 are all of a family."""
    port: Port | None = None
    """Destination port; any when left out."""
    action: Literal["permit", "deny"]
    """What happens to its packets."""
    reason: Literal["acl_denied", "acl_quarantined", "acl_abuse"] = "acl_denied"
    """What denied packets are counted under."""


class Bucket(Part):
    """A token bucket that starts full."""

    per_s: Annotated[int, Field(ge=0, le=PER_S_MAX)]
    """Tokens gained a second; 0 never fills it again."""
    burst: Annotated[int, Field(ge=1, le=BURST_MAX)]
    """Tokens that it holds."""


class Buckets(Part):
    """What is metered; a bucket that is left out lets everything through."""

    packets: Bucket | None = None
    """One token a packet."""
    bytes: Bucket | None = None
    """One token a byte of the frame, Ethernet header included."""
    connections: Bucket | None = None
    """One token a TCP SYN."""


class Meter(Part):
    """Meters of a service: for each source prefix, and over all of them."""

    service: Name
    """Service that it is about."""
    ipv4_prefix_length: Annotated[int, Field(ge=24, le=32)] = 32
    """Bits of an IPv4 source that count as one sender."""
    ipv6_prefix_length: Annotated[int, Field(ge=64, le=128)] = 64
    """Bits of an IPv6 source that count as one sender."""
    per_source: Buckets = Buckets()
    """Of each source prefix. Prefixes share cells by hash: `meter_cells`."""
    per_service: Buckets = Buckets()
    """Of all sources together."""


class Group(Part):
    """A listener group: the listeners of one fast path, by their port."""

    name: Name
    """Unique in its service."""
    port: Port
    """Destination port that its packets are rewritten to; the VIP's own port is no rewrite."""
    weight_percent: Percent
    """Share of the new flows; the groups of a service add up to 100."""


class Steer(Part):
    """Which listener group a service's new flows go to."""

    service: Name
    """Service that it is about."""
    groups: Annotated[Items[Group], Field(min_length=1), shorter_than(64)]
    """At least one."""


class Flows(Part):
    """The flow table."""

    entries_max: Annotated[int, Field(ge=1_024, le=4_194_304), AfterValidator(power_of_two)] = 65_536
    """Flows at the same time; beyond that flows are steered by their bucket alone, and counted."""
    idle_timeout: Duration = timedelta(minutes=5)
    """A flow without packets is forgotten."""
    closing_timeout: Duration = timedelta(seconds=10)
    """The same after a FIN or RST of the client."""
    unconfirmed_timeout: Duration = timedelta(seconds=5)
    """The same while our side has never answered."""
    records_bytes_max: Annotated[int, Field(ge=4_096, le=67_108_864), AfterValidator(power_of_two)] = 1_048_576
    """Ring buffer of flow records; what finds it full is lost, and counted."""


class Packet(Part):
    """What happens to frames before TLS."""

    interface: Annotated[str, Field(pattern=r"^[^\s/:]{1,15}$")]
    """Network interface of the wire, whose incoming frames are judged."""
    mode: Literal["auto", "native", "generic"] = "auto"
    """XDP in the driver, behind it, or the first of them that works."""
    programmed_by: Literal["agent", "p4runtime"] = "agent"
    """Who writes the tables: this file, or a controller over P4Runtime."""
    vips: Annotated[Items[Vip], shorter_than(1_024)] = ()
    """What is judged; everything else passes untouched."""
    acl: Annotated[Items[AclEntry], shorter_than(262_144)] = ()
    """Who may send."""
    meters: Annotated[Items[Meter], shorter_than(63)] = ()
    """How much; at most one entry a service."""
    meter_cells: Annotated[int, Field(ge=16, le=METER_CELLS_MAX), AfterValidator(power_of_two)] = 4_096
    """Cells of a service's sources; two sources in one cell share its buckets."""
    steer: Annotated[Items[Steer], shorter_than(63)] = ()
    """Listener groups; at most one entry a service. Without one its packets keep their port."""
    flows: Flows = Flows()
    """The flow table; everything has a default."""
