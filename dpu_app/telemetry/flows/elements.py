"""The information elements of a flow record in IPFIX: number, length and where the value comes from.

Those of IANA are from its IPFIX registry; reverse ones are the same numbers under RFC 5103's enterprise number, and say
what went from the server to the client. Ours have numbers under the enterprise number of `telemetry.flows.ipfix`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from abi.gen import packet as abi
from abi.gen.reasons import Reason
from dpu_app.telemetry.flows.record import NOT_DROPPED_MAX, Done, Flow, FlowEnd, Seen

IANA = 0
REVERSE = 29305
"""RFC 5103, section 6.1."""
OURS = -1
"""Stands for the configured number."""
VARIABLE = 65535
ETHERNET_BYTES = 14
INITIATOR = 1
"""biflowDirection: the first frame's sender is the source (RFC 5103, section 6.3)."""
UINT32_MAX = (1 << 32) - 1

# flowEndReason (RFC 5102, section 5.11.3): 1 idle, 2 active timeout, 3 end of flow, 4 forced end.
END_REASONS = {
    FlowEnd.ENDED: 3,
    FlowEnd.IDLE: 1,
    FlowEnd.UNCONFIRMED: 1,
    FlowEnd.REMOVED: 4,
    FlowEnd.ACTIVE: 2,
    FlowEnd.REQUESTS_ONLY: 4,
}


@dataclass(frozen=True)
class Element:
    """`length` in bytes; `form` is its struct letter. Texts have neither: VARIABLE, "" and `text_max`."""

    name: str
    number: int
    enterprise: int
    length: int
    form: str
    value: Callable[[Flow], Any]
    text_max: int = 0


def iana(name: str, number: int, form: str, value: Callable[[Seen], int]) -> Element:
    """An unsigned integer of IANA's registry."""
    return Element(name, number, IANA, LENGTHS[form], form, lambda flow: value(flow.seen))


def reverse(name: str, number: int, form: str, value: Callable[[Seen], int]) -> Element:
    """The same for the other direction."""
    return Element(name, number, REVERSE, LENGTHS[form], form, lambda flow: value(flow.seen))


def ours(name: str, number: int, form: str, value: Callable[[Flow], int]) -> Element:
    """An unsigned integer of ours."""
    return Element(name, number, OURS, LENGTHS[form], form, value)


def text(name: str, number: int, bytes_max: int, value: Callable[[Flow], str], enterprise: int = OURS) -> Element:
    """A text of at most so many bytes of UTF-8; what is longer is cut."""
    return Element(name, number, enterprise, VARIABLE, "", value, bytes_max)


def octets(packets: int, frame_bytes: int) -> int:
    """Bytes of IP packets, which is what octetDeltaCount counts, from bytes of frames; VLAN tags are not known here."""
    return max(frame_bytes - ETHERNET_BYTES * packets, 0)


def forwarding_status(seen: Seen) -> int:
    """IANA's numbers: 64 forwarded, 128 dropped, 129 by an ACL, 138 by a policer."""
    if seen.reason <= NOT_DROPPED_MAX:
        return 64
    if seen.reason in ACL_REASONS:
        return 129
    return 138 if seen.reason in METER_REASONS else 128


def microseconds(done: Done, ms: float | None) -> int:
    """A time to first token, 0 where there is none; the longest that fits is an hour."""
    return min(round((ms or 0.0) * 1000), UINT32_MAX)


ACL_REASONS = frozenset(reason for reason in Reason if reason.name.startswith("ACL_"))
METER_REASONS = frozenset(reason for reason in Reason if reason.name.startswith("METER_"))
LENGTHS = {"B": 1, "H": 2, "I": 4, "Q": 8}

IPV4 = (
    Element("sourceIPv4Address", 8, IANA, 4, "4s", lambda flow: flow.seen.client[12:]),
    Element("destinationIPv4Address", 12, IANA, 4, "4s", lambda flow: flow.seen.server[12:]),
)
IPV6 = (
    Element("sourceIPv6Address", 27, IANA, 16, "16s", lambda flow: flow.seen.client),
    Element("destinationIPv6Address", 28, IANA, 16, "16s", lambda flow: flow.seen.server),
)
COMMON = (
    iana("sourceTransportPort", 7, "H", lambda seen: seen.client_port),
    iana("destinationTransportPort", 11, "H", lambda seen: seen.server_port),
    iana("protocolIdentifier", 4, "B", lambda seen: seen.protocol),
    iana("flowEndReason", 136, "B", lambda seen: END_REASONS[seen.end]),
    iana("biflowDirection", 239, "B", lambda seen: INITIATOR),
    iana("forwardingStatus", 89, "B", forwarding_status),
    iana("flowStartMilliseconds", 152, "Q", lambda seen: seen.start_ms),
    iana("flowEndMilliseconds", 153, "Q", lambda seen: seen.end_ms),
    iana("packetDeltaCount", 2, "Q", lambda seen: seen.packets_in),
    iana("octetDeltaCount", 1, "Q", lambda seen: octets(seen.packets_in, seen.bytes_in)),
    iana("layer2OctetDeltaCount", 352, "Q", lambda seen: seen.bytes_in),
    reverse("reversePacketDeltaCount", 2, "Q", lambda seen: seen.packets_out),
    reverse("reverseOctetDeltaCount", 1, "Q", lambda seen: octets(seen.packets_out, seen.bytes_out)),
    reverse("reverseLayer2OctetDeltaCount", 352, "Q", lambda seen: seen.bytes_out),
    # In this order: nfdump 1.7 keeps one of the two, the last.
    reverse("reverseTcpControlBits", 6, "H", lambda seen: seen.flags_out),
    iana("tcpControlBits", 6, "H", lambda seen: seen.flags_in),
    ours("recordEnd", 1, "B", lambda flow: flow.seen.end),
    ours("verdictReason", 2, "H", lambda flow: flow.seen.reason),
    ours("listenerGroupId", 3, "H", lambda flow: flow.seen.group_id),
    ours("listenerGroupPort", 4, "H", lambda flow: flow.seen.group_port),
    ours("packetEpoch", 5, "Q", lambda flow: flow.seen.epoch),
    ours("requestEpoch", 6, "Q", lambda flow: flow.done.epoch),
    ours("requests", 7, "I", lambda flow: flow.done.requests),
    ours("requestsAnswered", 8, "I", lambda flow: flow.done.answered),
    ours("tokensIn", 9, "Q", lambda flow: flow.done.tokens_in),
    ours("tokensOut", 10, "Q", lambda flow: flow.done.tokens_out),
    ours("timeToFirstTokenMicroseconds", 11, "I", lambda flow: microseconds(flow.done, flow.done.ttft_ms)),
    ours("timeToFirstTokenMaxMicroseconds", 12, "I", lambda flow: microseconds(flow.done, flow.done.ttft_ms_max)),
    text("applicationName", 96, 63, lambda flow: flow.seen.service, IANA),
    text("listenerGroup", 13, 63, lambda flow: flow.seen.group),
    text("listener", 14, 63, lambda flow: flow.done.listener),
    text("tenant", 15, 95, lambda flow: flow.done.tenant),
    text("model", 16, 159, lambda flow: flow.done.model),
    text("arm", 17, 95, lambda flow: flow.done.arm),
    text("worker", 18, 127, lambda flow: flow.done.worker),
    text("outcome", 19, 63, lambda flow: flow.done.outcome),
)
assert abi.FLOW_ACTIVE < FlowEnd.REQUESTS_ONLY < 256  # recordEnd is one byte
