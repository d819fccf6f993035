"""Development tokens: a signing key, its public half as a JWK set (RFC 7517), and JSON Web Tokens signed with it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

ISSUER = "https://issuer.dev.invalid"
AUDIENCE = "dpu-app"
COORDINATE_BYTES = 32


def make_key() -> ec.EllipticCurvePrivateKey:
    """A key for ES256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PKCS#8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError where it is no ES256 key."""
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")
    return key


def jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The public half; `kid` is its thumbprint (RFC 7638), so that the two always belong together."""
    numbers = key.public_key().public_numbers()
    point = {name: base64url(value.to_bytes(COORDINATE_BYTES)) for name, value in (("x", numbers.x), ("y", numbers.y))}
    required = {"crv": "P-256", "kty": "EC", **point}
    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(required, sort_keys=True, separators=(",", ":")).encode())
    return {**required, "kid": base64url(digest.finalize()), "use": "sig", "alg": "ES256"}


def jwks(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The JWKS file."""
    return json.dumps({"keys": [jwk(key)]}, indent=2).encode() + b"\n"


def token(key: ec.EllipticCurvePrivateKey, claims: Mapping[str, object]) -> str:
    """A compact JWS over the claims (RFC 7515, 7.1; the signature is r and s, 32 bytes each: RFC 7518, 3.4)."""
    header = {"alg": "ES256", "typ": "JWT", "kid": jwk(key)["kid"]}
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{base64url(r.to_bytes(COORDINATE_BYTES) + s.to_bytes(COORDINATE_BYTES))}"


def claims(tenant: str, lifetime_s: int, now: float | None = None) -> dict[str, object]:
    """What the development configuration wants of a token."""
    issued = int(time.time() if now is None else now)
    return {"iss": ISSUER, "aud": AUDIENCE, "tenant": tenant, "iat": issued, "exp": issued + lifetime_s}


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
