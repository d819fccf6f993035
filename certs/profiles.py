"""What each kind of certificate may be used for: one table."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

LOOPBACK: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A kind of end-entity certificate (RFC 5280 4.2.1)."""

    usages: tuple[ObjectIdentifier, ...]
    """Extended key usages; TLS peers check them."""
    names: tuple[x509.GeneralName, ...] = ()
    """Subject alternative names that every certificate of the kind has."""
    days: int = 90
    """Days from issue to expiry: short, because renewal is one idempotent command."""


PROFILES: dict[str, Profile] = {
    "server": Profile(usages=(ExtendedKeyUsageOID.SERVER_AUTH,), names=LOOPBACK),
    "client": Profile(usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    # A worker is called by fast paths and never calls, but mutual proof needs both usages.
    "worker": Profile(usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), names=LOOPBACK),
}
