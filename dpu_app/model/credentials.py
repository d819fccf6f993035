"""What a tenant proves itself with beside API keys: client certificates and JSON Web Tokens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from dpu_app.model.part import Duration, FilePath, Items, Part, refusal, shorter_than

DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")
LEEWAY_MAX = timedelta(minutes=5)
TEXT = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
Algorithm = Literal["ES256", "RS256", "PS256", "EdDSA"]


def digest(text: str) -> str:
    """64 lower-case hex digits, with or without `sha256:` before them. Raises a refusal."""
    if DIGEST.fullmatch(text) is None:
        raise refusal(
            "is not a SHA-256", "write 64 lower-case hex digits, as 'openssl x509 -fingerprint' without colons"
        )
    return text.removeprefix("sha256:")


Digest = Annotated[str, AfterValidator(digest), WithJsonSchema({"type": "string", "pattern": f"^{DIGEST.pattern}$"})]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?$")]
PlainText = Annotated[str, Field(max_length=512, pattern=TEXT)]


class CertificateMatch(Part):
    """A client certificate of the tenant, by exactly one of these properties. The listener's CAs have verified it."""

    san_dns: DnsName | None = None
    """A DNS name among the subject alternative names, lower case; exact, a wildcard stands for nothing."""
    san_uri: PlainText | None = None
    """A URI among the subject alternative names, such as a SPIFFE id; exact."""
    subject_cn: PlainText | None = None
    """The subject's common name; exact. Only where the CA gives no alternative names."""
    certificate_sha256: Digest | None = None
    """SHA-256 of the certificate (DER): this certificate and no other."""
    spki_sha256: Digest | None = None
    """SHA-256 of the public key (SubjectPublicKeyInfo, DER): outlives a renewal with the same key."""

    @model_validator(mode="after")
    def exactly_one(self) -> CertificateMatch:
        """Several properties would leave open whether all or any of them are meant. Raises a refusal."""
        if len(self.model_fields_set & set(CertificateMatch.model_fields)) != 1 or not self.kind_and_text()[1]:
            names = ", ".join(CertificateMatch.model_fields)
            raise refusal(
                "has to name exactly one property", f"give one of {names}; a further one is an item of its own"
            )
        return self

    def kind_and_text(self) -> tuple[str, str]:
        """The property and its value."""
        return next(((name, text) for name, text in self if text is not None), ("", ""))


class Jwt(Part):
    """JSON Web Tokens of one issuer that speak for the tenant, as `Authorization: Bearer TOKEN` (RFC 7519, 8725)."""

    issuer: PlainText
    """The token's `iss`; exact."""
    audience: PlainText
    """Has to be the token's `aud`, or one of them."""
    jwks_file: FilePath
    """The issuer's public keys (RFC 7517). All entries with one issuer name the same file. Secret keys are refused."""
    claims: Annotated[dict[PlainText, PlainText], shorter_than(8)] = Field(default={})
    """Further claims of the token and the text that each has to be; exact. What tells tenants of one issuer apart."""
    algorithms: Annotated[Items[Algorithm], Field(min_length=1, max_length=4)] = ("ES256", "EdDSA", "PS256", "RS256")
    """Signatures that are taken. HMAC and `none` never are."""
    leeway: Duration = timedelta(seconds=30)
    """How far the issuer's clock may be from ours, for `exp` and `nbf`."""

    @model_validator(mode="after")
    def bounded(self) -> Jwt:
        """A leeway is for clocks, not for tokens that should live longer. Raises a refusal."""
        if self.leeway > LEEWAY_MAX:
            raise refusal("allows a leeway of more than 5 minutes", "set the clocks, and write leeway: 30s")
        return self


class Identity(Part):
    """How credentials are checked, for all tenants."""

    token_cache_entries_max: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Verified JWTs that each core remembers until they expire: a request then costs a hash, no signature check."""
