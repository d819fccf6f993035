"""Token buckets: each alone, their order, prefixes that count together, tokens that come back."""

from __future__ import annotations

from scapy.layers.inet import TCP, UDP

from abi.gen.reasons import Reason
from tests.packets.case import FAMILIES, IPV4, IPV6, Case, Family, Step

OK = Reason.NONE
CLOCK = frozenset({"clock"})


def of_bytes(family: Family, vip: int, client: int, size: int) -> object:
    """A frame of `size` bytes."""
    packet = family.ip(vip, client) / TCP(sport=48000, dport=443, flags="A")
    return packet / bytes(size - len(packet))


def steps(*rows: tuple[object, Reason]) -> tuple[Step, ...]:
    """None of the metered services has groups: their frames keep their port."""
    return tuple(Step(packet, reason) for packet, reason in rows)


CASES: list[Case] = []
for f in FAMILIES:
    a, b = f.tcp(21, client=1), f.tcp(21, client=2)
    refused = Reason.METER_SOURCE_PACKETS
    CASES += [
        Case(f"{f.name}-source-packets", steps((a, OK), (a, OK), (a, refused), (b, OK), (a, refused), (b, OK))),
        Case(
            f"{f.name}-source-packets-udp-and-tcp-together",
            steps((f.udp(21, client=3), OK), (f.tcp(21, client=3), OK), (f.udp(21, client=3), refused)),
        ),
        Case(
            f"{f.name}-source-bytes",
            steps(
                (of_bytes(f, 22, 1, 120), OK),
                (of_bytes(f, 22, 1, 81), Reason.METER_SOURCE_BYTES),
                (of_bytes(f, 22, 1, 80), OK),
                (of_bytes(f, 22, 1, 80), Reason.METER_SOURCE_BYTES),
            ),
        ),
        Case(
            f"{f.name}-source-bytes-frame-larger-than-burst",
            steps((of_bytes(f, 22, 2, 201), Reason.METER_SOURCE_BYTES), (of_bytes(f, 22, 2, 200), OK)),
        ),
        Case(
            f"{f.name}-source-connections",
            steps(
                (f.tcp(23, flags="S"), OK),
                (f.tcp(23, flags="S", sport=48001), Reason.METER_SOURCE_CONNECTIONS),
                (f.tcp(23, flags="A"), OK),
                (f.tcp(23, flags="R", sport=48001), OK),
                (f.udp(23), OK),
                (f.tcp(23, flags="SEC", sport=48002), Reason.METER_SOURCE_CONNECTIONS),
            ),
        ),
        # Three packet tokens: the two that the byte bucket refused are gone too.
        Case(
            f"{f.name}-what-was-taken-stays-taken",
            steps(
                (of_bytes(f, 27, 1, 90), OK),
                (of_bytes(f, 27, 1, 90), Reason.METER_SOURCE_BYTES),
                (of_bytes(f, 27, 1, 90), Reason.METER_SOURCE_BYTES),
                (of_bytes(f, 27, 1, 90), Reason.METER_SOURCE_PACKETS),
            ),
        ),
        # /28 and /124: 0x10 to 0x1f count together.
        Case(
            f"{f.name}-prefix-counts-together",
            steps(
                (f.tcp(29, client=0x10), OK),
                (f.tcp(29, client=0x1F), OK),
                (f.tcp(29, client=0x17), refused),
                (f.tcp(29, client=0x20), OK),
                (f.tcp(29, client=0x0F), OK),
            ),
        ),
        Case(
            f"{f.name}-tokens-come-back",
            (
                Step(f.tcp(28), OK, clock_s=10),
                Step(f.tcp(28), refused, clock_s=10.25),
                Step(f.tcp(28), refused, clock_s=10.499999999),
                Step(f.tcp(28), OK, clock_s=10.5),
                Step(f.tcp(28), refused, clock_s=10.5),
                # Never more than the burst.
                Step(f.tcp(28), OK, clock_s=100),
                Step(f.tcp(28), refused, clock_s=100.1),
            ),
            needs=CLOCK,
        ),
        Case(
            f"{f.name}-clock-that-runs-backwards-gives-nothing",
            (
                Step(f.tcp(28, client=2), OK, clock_s=50),
                Step(f.tcp(28, client=2), refused, clock_s=40),
                Step(f.tcp(28, client=2), refused, clock_s=40.5),
                Step(f.tcp(28, client=2), refused, clock_s=50.25),
                Step(f.tcp(28, client=2), OK, clock_s=50.5),
            ),
            needs=CLOCK,
        ),
    ]

# Over all sources, both families together.
CASES += [
    Case(
        "ipv6-sources-of-one-network-count-together",
        steps(
            (IPV6.ip(23, src="2001:db8:c2::1") / TCP(dport=443, flags="S"), OK),
            (IPV6.ip(23, src="2001:db8:c2::ffff:1") / TCP(dport=443, flags="S"), Reason.METER_SOURCE_CONNECTIONS),
            (IPV6.ip(23, src="2001:db8:c2:1::1") / TCP(dport=443, flags="S"), OK),
        ),
    ),
    Case(
        "service-packets",
        steps(
            (IPV4.tcp(24, client=1), OK),
            (IPV6.tcp(24, client=2), OK),
            (IPV4.tcp(24, client=3), OK),
            (IPV6.tcp(24, client=4), Reason.METER_SERVICE_PACKETS),
            (IPV4.tcp(24, client=1), Reason.METER_SERVICE_PACKETS),
        ),
    ),
    Case(
        "service-bytes",
        steps(
            (of_bytes(IPV4, 25, 1, 100), OK),
            (of_bytes(IPV6, 25, 2, 101), Reason.METER_SERVICE_BYTES),
            (of_bytes(IPV6, 25, 2, 100), OK),
            (of_bytes(IPV4, 25, 3, 60), Reason.METER_SERVICE_BYTES),
        ),
    ),
    Case(
        "service-connections",
        steps(
            (IPV4.tcp(26, client=1, flags="S"), OK),
            (IPV6.tcp(26, client=2, flags="S"), OK),
            (IPV4.tcp(26, client=3, flags="S"), Reason.METER_SERVICE_CONNECTIONS),
            (IPV4.tcp(26, client=1, flags="A"), OK),
        ),
    ),
    Case(
        "what-is-dropped-before-costs-nothing",
        steps(
            (IPV4.ip(21, 9) / TCP(dport=443, flags="SF"), Reason.PACKET_TCP_FLAGS),
            (IPV4.ip(21, 9, flags="MF") / UDP(dport=443), Reason.PACKET_FRAGMENT),
            (IPV4.tcp(21, client=9), OK),
            (IPV4.tcp(21, client=9), OK),
            (IPV4.tcp(21, client=9), Reason.METER_SOURCE_PACKETS),
        ),
    ),
]
