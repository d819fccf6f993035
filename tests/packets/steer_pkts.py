"""Listener groups: that of the hash bucket, and then that which the flow began with."""

from __future__ import annotations

from collections.abc import Callable

from abi.gen.reasons import Reason
from tests.packets.case import FAMILIES, IPV4, Case, Family, Reload, Step, one
from tests.packets.config import TEXT, split_weights

OK = Reason.NONE
FLOW = frozenset({"flow", "reload"})
STABLE, CANARY = 8443, 9443
ALL_STABLE, ALL_CANARY = Reload(split_weights(100)), Reload(split_weights(0))

# (source port, bucket, its group's port): CRC-32 of the tuple modulo 1,024, worked out with zlib alone
BY_BUCKET = {
    "ipv4": [(49000, 855, CANARY), (49001, 352, STABLE), (49002, 825, CANARY), (49003, 270, STABLE)],
    "ipv6": [(49000, 99, CANARY), (49001, 596, STABLE), (49002, 13, CANARY), (49003, 570, STABLE)],
}

CASES = [
    one(f"{f.name}-bucket-{bucket}", f.tcp(13, sport=sport, flags="S"), OK, port)
    for f in FAMILIES
    for sport, bucket, port in BY_BUCKET[f.name]
]
CASES += [
    # The protocol is not part of the hash: the same ports are the same bucket.
    one(f"{f.name}-bucket-{bucket}-udp", f.udp(13, sport=sport), OK, port)
    for f in FAMILIES
    for sport, bucket, port in BY_BUCKET[f.name]
]


def tcp(family: Family, flags: str, port: int) -> Step:
    """One frame of a flow whose bucket is `stable` at equal weights."""
    return Step(family.tcp(13, sport=49001, flags=flags), OK, port)


def udp(family: Family, port: int) -> Step:
    """The same for UDP."""
    return Step(family.udp(13, sport=49001), OK, port)


FLOW_CASES: dict[str, Callable[[Family], tuple[Step | Reload, ...]]] = {
    "flow-keeps-its-group": lambda f: (tcp(f, "A", STABLE), ALL_CANARY, tcp(f, "A", STABLE), tcp(f, "FA", STABLE)),
    "new-flow-has-the-new-weights": lambda f: (ALL_CANARY, tcp(f, "A", CANARY), ALL_STABLE, tcp(f, "A", CANARY)),
    "syn-makes-no-entry": lambda f: (tcp(f, "S", STABLE), ALL_CANARY, tcp(f, "S", CANARY), tcp(f, "A", CANARY)),
    "reset-makes-no-entry": lambda f: (tcp(f, "R", STABLE), ALL_CANARY, tcp(f, "RA", CANARY)),
    "syn-goes-where-its-flow-is": lambda f: (tcp(f, "A", STABLE), ALL_CANARY, tcp(f, "S", STABLE)),
    "closing-flow-keeps-its-group": lambda f: (tcp(f, "FA", STABLE), ALL_CANARY, tcp(f, "A", STABLE)),
    "syn-ends-a-closing-flow": lambda f: (
        tcp(f, "A", STABLE),
        tcp(f, "FA", STABLE),
        ALL_CANARY,
        tcp(f, "S", CANARY),
        ALL_STABLE,
        tcp(f, "A", STABLE),
    ),
    "syn-ends-a-reset-flow": lambda f: (tcp(f, "A", STABLE), tcp(f, "R", STABLE), ALL_CANARY, tcp(f, "S", CANARY)),
    "udp-is-pinned-by-its-first": lambda f: (udp(f, STABLE), ALL_CANARY, udp(f, STABLE)),
    "tcp-and-udp-are-two-flows": lambda f: (udp(f, STABLE), ALL_CANARY, tcp(f, "A", CANARY), udp(f, STABLE)),
}
CASES += [
    Case(f"{f.name}-{name}", steps(f), needs=FLOW, alone=True) for f in FAMILIES for name, steps in FLOW_CASES.items()
]

# The smallest table there is: 1,024 flows, and one too many.
FULL = TEXT.replace("entries_max: 4096", "entries_max: 1024")


def table_full(family: Family) -> tuple[Step | Reload, ...]:
    """It is steered by its bucket, passed, and counted; the flows that are there are not disturbed."""
    flows = [Step(family.tcp(10, sport=1024 + n), OK, 8443) for n in range(1024)]
    over = family.tcp(13, sport=49001)
    return (
        *flows,
        Step(over, Reason.PACKET_FLOW_FULL, STABLE),
        ALL_CANARY_FULL,
        Step(over, Reason.PACKET_FLOW_FULL, CANARY),
        tcp(family, "S", CANARY),
        flows[0],
        flows[-1],
        Step(IPV4.udp(11, port=80, sport=49001), Reason.PACKET_FLOW_FULL),
    )


ALL_CANARY_FULL = Reload(ALL_CANARY.text.replace("entries_max: 4096", "entries_max: 1024"))
CASES += [
    Case(f"{f.name}-flow-table-full", table_full(f), needs=frozenset({"flow", "reload"}), alone=True, config=FULL)
    for f in FAMILIES
]
