"""Who may send: the longest prefix, then the specific port; families apart, services apart."""

from __future__ import annotations

from scapy.layers.inet import TCP

from abi.gen.reasons import Reason
from tests.packets.case import FAMILIES, IPV4, IPV6, Family, one

DENIED, QUARANTINED, ABUSE = Reason.ACL_DENIED, Reason.ACL_QUARANTINED, Reason.ACL_ABUSE
PERMIT = Reason.NONE

# (what, last number of the source, destination port, reason): the same prefixes stand in config.py for both families
ROWS = [
    ("denied-prefix", 1, 443, DENIED),
    ("denied-prefix-other-port", 1, 8080, DENIED),
    ("last-of-denied-prefix", 63, 443, DENIED),
    ("permit-inside-deny", 64, 443, PERMIT),
    ("last-of-permit", 127, 443, PERMIT),
    ("deny-inside-permit", 65, 443, QUARANTINED),
    ("longest-is-of-this-port", 66, 8080, ABUSE),
    ("longest-is-of-another-port", 66, 443, PERMIT),
    ("equal-length-specific-port-wins", 128, 443, PERMIT),
    ("equal-length-any-port", 128, 8080, QUARANTINED),
    ("last-address", 255, 8080, QUARANTINED),
]


def guarded(family: Family, source: str, port: int = 443, flags: str = "A") -> object:
    """From a source to the guarded service."""
    return family.ip(20, src=source) / TCP(sport=47000, dport=port, flags=flags)


CASES = [
    one(f"{f.name}-acl-{name}", guarded(f, f.client(n), port), reason)
    for f in FAMILIES
    for name, n, port, reason in ROWS
]
CASES += [
    one(f"{f.name}-acl-denied-{flags}", guarded(f, f.client(1), flags=flags), DENIED)
    for f in FAMILIES
    for flags in ("S", "R", "FA")
]
CASES += [
    one("ipv4-acl-no-entry", guarded(IPV4, "192.0.2.200"), PERMIT),
    one("ipv4-acl-port-entry-alone", guarded(IPV4, "203.0.113.9"), ABUSE),
    one("ipv4-acl-port-entry-alone-other-port", guarded(IPV4, "203.0.113.9", 8080), PERMIT),
    one("ipv6-acl-all-of-the-family", guarded(IPV6, "2001:db8:ffff::1"), ABUSE),
    one("ipv6-acl-all-of-the-family-low", guarded(IPV6, "::2"), ABUSE),
    one("ipv6-acl-permit-below-all", guarded(IPV6, "2001:db8:d1::1"), PERMIT),
    one("ipv4-acl-all-of-the-family", IPV4.tcp(12), DENIED),
    one("ipv6-acl-of-ipv4-does-not-count", IPV6.tcp(12, sport=47001), PERMIT, 443),
    one("ipv4-acl-of-another-service", IPV4.tcp(10, client=1, sport=47002), PERMIT, 8443),
    # Sanity comes first.
    one("ipv4-acl-after-sanity", guarded(IPV4, IPV4.client(1), flags="SF"), Reason.PACKET_TCP_FLAGS),
]
