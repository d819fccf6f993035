"""Client certificates, revocation lists and tokens for tests, made by `cryptography`: an oracle that is not ours."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs import authority
from certs.authority import Pair

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Files:
    """A certificate and its key on disk."""

    certificate: Path
    key: Path
    parsed: x509.Certificate


def authority_of(certs: Path) -> Pair:
    """The development CA that the stack's listeners trust."""
    return authority.load((certs / "ca.pem").read_bytes(), (certs / "ca.key").read_bytes())


def issue(
    ca: Pair,
    folder: Path,
    stem: str,
    names: tuple[str, ...],
    lifetime: timedelta = timedelta(days=1),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    key: Key | None = None,
) -> Files:
    """A certificate for DNS names that ends `lifetime` from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)]))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    files = Files(folder / f"{stem}.pem", folder / f"{stem}.key", certificate)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


def revoke(ca: Pair, path: Path, *revoked: x509.Certificate) -> None:
    """Writes the CA's revocation list."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now - timedelta(hours=1))
        .next_update(now + timedelta(days=1))
        .add_extension(x509.CRLNumber(int(time.time())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), critical=False)
    )
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    path.write_bytes(builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def trust_with(ca_file: Path, files: Files | None = None) -> ssl.SSLContext:
    """Trusts the CA; shows the certificate where there is one."""
    context = ssl.create_default_context(cafile=str(ca_file))
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def gamma_of(certs: Path) -> Files:
    """What `python -m certs.dev_ca` makes for the tenant gamma."""
    path = certs / "client-gamma.pem"
    return Files(path, certs / "client-gamma.key", x509.load_pem_x509_certificate(path.read_bytes()))
