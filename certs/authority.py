"""A certificate authority with ECDSA P-256 keys: makes itself, issues by profile, says what is still good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from certs.profiles import Profile

CA_DAYS = 365
RENEW_BEFORE = timedelta(days=7)
BACKDATED = timedelta(hours=1)
"""Clocks of two machines differ; a certificate from the future is refused."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        """The certificate alone: a chain of one, since nobody needs the root sent."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        """The key as unencrypted PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Reads a pair. Raises ValueError where it is not one: bad PEM, another key, another kind of key."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the key does not belong to the certificate")
    return Pair(certificate, key)


def make_authority(common_name: str, now: datetime | None = None) -> Pair:
    """A self-signed root that may sign end entities only (path length 0)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = named(common_name)
    builder = (
        unsigned(subject, subject, key, CA_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Pair, profile: Profile, common_name: str, now: datetime | None = None) -> Pair:
    """An end-entity certificate of one profile."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        unsigned(named(common_name), authority.certificate.subject, key, profile.days, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    names = profile.names or (x509.DNSName(common_name),)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def is_good(pair: Pair, authority: Pair, now: datetime | None = None) -> bool:
    """Whether `authority` issued it and it lives for more than RENEW_BEFORE."""
    if pair.certificate.not_valid_after_utc - (now or datetime.now(UTC)) < RENEW_BEFORE:
        return False
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # four exceptions are documented, each means "not issued by it"
        return False
    return True


def unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, now: datetime | None
) -> x509.CertificateBuilder:
    """What every certificate here has in common."""
    start = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def named(common_name: str) -> x509.Name:
    """A name of one attribute."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """An authority signs certificates and nothing else; an end entity signs handshakes and nothing else."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
