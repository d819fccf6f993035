"""Which entry is behind a change."""

from __future__ import annotations

import pytest

from dpu_app.replay.oracle import Oracle
from dpu_app.replay.rules import Rules, responsible
from tests.packets.case import IPV4, IPV6
from tests.packets.config import TEXT, plan

NO_META = TEXT.replace("packets: { per_s: 0, burst: 2 }", "packets: { per_s: 0, burst: 1 }")
PERMIT = TEXT.replace("source: 198.51.100.0/24, action: deny }", "source: 198.51.100.0/24, action: permit }")
GONE = TEXT.replace("    - { service: guarded, source: 198.51.100.0/24, action: deny }\n", "")
WITHOUT_VIP = "".join(line for line in TEXT.splitlines(True) if "address: '192.0.2.11'" not in line)

# (B, frames, rule behind the change of the last)
ROWS = [
    (NO_META, [IPV4.tcp(21)] * 2, "b: meter source-packets source_packets"),
    (PERMIT, [IPV4.tcp(20)], "b: acl guarded 198.51.100.0/24 port any permit"),
    (GONE, [IPV4.tcp(20)], "a: acl guarded 198.51.100.0/24 port any deny acl_denied"),
    (WITHOUT_VIP, [IPV4.ip(11, flags="MF")], "a: vip 192.0.2.11: packet_fragment"),
    (WITHOUT_VIP, [IPV4.tcp(11, port=80, flags="SF")], "a: vip plain: packet_tcp_flags"),
    (WITHOUT_VIP, [IPV4.tcp(11, port=80)], "a: vip plain 192.0.2.11 port 80/tcp"),
    (TEXT, [IPV6.tcp(20)], "b: acl guarded 2001:db8:c1::/64 port any deny acl_denied"),
]


@pytest.mark.parametrize(("text", "packets", "rule"), ROWS)
def test_rule(text: str, packets: list[object], rule: str) -> None:
    plans = plan(), plan(text, plan())
    oracles = [Oracle(packet) for packet in plans]
    for packet in packets:
        frame = bytes(packet)  # type: ignore[call-overload]  # Scapy packets have no types
        a, b = (oracle.judge(frame, 0) for oracle in oracles)
    assert responsible(frame, (Rules(plans[0]), a), (Rules(plans[1]), b)) == rule
