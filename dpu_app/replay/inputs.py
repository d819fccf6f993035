"""Where frames come from: a capture, a Scapy expression, or a generator."""

from __future__ import annotations

import ipaddress
import reprlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.native import Frames

TRAFFIC = ("flood", "scan", "mix")
SCAPY_FRAMES_MAX = 1_000_000
INTERVAL_NS = 1_000
"""Between two frames that nobody captured: a million a second."""


class InputError(Exception):
    """There is nothing to replay; the text says the fix."""


def capture(path: str, cut: str) -> Frames:
    """A pcap or pcapng file; `-` is standard input. Raises InputError."""
    try:
        return Frames.capture(path, cut)
    except ValueError as error:
        raise InputError(str(error)) from error


def generated(traffic: str, count: int, seed: int, packets: Iterable[PlanPacket]) -> Frames:
    """Traffic to the VIPs of all plans, each once and in their order."""
    vips = [vip for packet in packets for vip in packet.tables.vips]
    ends = dict.fromkeys((ipaddress.ip_address(vip.address).packed, vip.protocol, vip.port) for vip in vips)
    return Frames.generated(traffic, count, seed, INTERVAL_NS, list(ends))


def expression(text: str) -> Frames:
    """The packets of a Scapy expression, which is evaluated as Python: only ever the operator's own words.

    A packet, a list of packets, or one with sets of values in its fields. IP without Ethernet gets a header.
    Raises InputError.
    """
    try:
        import scapy.all
    except ImportError as error:
        raise InputError("Scapy is missing: pip install 'dpu-app[replay]'") from error
    try:
        made = eval(text, vars(scapy.all).copy())
        frames = [bytes(with_ethernet(packet)) for packet in islice(packets(made), SCAPY_FRAMES_MAX + 1)]
    except InputError:
        raise
    except Exception as error:
        # Whatever the expression raises is the expression's fault.
        raise InputError(f"the Scapy expression fails: {type(error).__name__}: {error}") from error
    if len(frames) > SCAPY_FRAMES_MAX:
        raise InputError(f"the expression makes more than {SCAPY_FRAMES_MAX:,} frames: write them to a pcap")
    return Frames.given([(number * INTERVAL_NS, frame) for number, frame in enumerate(frames)])


def packets(made: Any) -> Iterator[Any]:
    """Every packet: of lists of them, and of packets whose fields are sets. Raises InputError."""
    from scapy.packet import Packet

    if isinstance(made, bytes):
        yield made
    elif isinstance(made, Packet):
        yield from made
    elif isinstance(made, str) or not isinstance(made, Iterable):
        # A letter of a text is a text again.
        raise InputError(
            f"the Scapy expression makes {reprlib.repr(made)}, which is not a packet: give packets, lists of them, "
            "or bytes"
        )
    else:
        for item in made:
            yield from packets(item)


def with_ethernet(packet: Any) -> Any:
    """The packet behind an Ethernet header, as frames are."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    if isinstance(packet, IP | IPv6):
        return Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / packet
    return packet
