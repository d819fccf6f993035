"""Whether credentials fit together: everybody has one, nobody has another's, and listeners ask for what is used."""

from __future__ import annotations

from collections.abc import Iterator

from dpu_app.model.credentials import Jwt
from dpu_app.model.desired import Desired
from dpu_app.model.problem import Finding, Location, Named, path_text, twice

Token = tuple[Location, int, Jwt]


def findings(desired: Desired) -> Iterator[Finding]:
    """All that does not fit."""
    yield from listeners(desired)
    yield from tenants(desired)
    yield from twice("the client certificate", "give it to one tenant only", certificates(desired))
    tokens = list(all_tokens(desired))
    for index, token in enumerate(tokens):
        yield from against_earlier(token, tokens[:index])


def listeners(desired: Desired) -> Iterator[Finding]:
    """A listener asks for client certificates where it has CAs, and has CAs where it asks."""
    for i, item in enumerate(desired.listeners):
        loc: Location = ("listeners", i)
        asks, mode = item.client_certificates != "none", item.client_certificates
        if asks and not item.client_ca_files:
            fix = "add client_ca_files, or write client_certificates: none"
            yield Finding((*loc, "client_certificates"), f"is '{mode}' and there is no CA to verify them with", fix)
        for field in ("client_ca_files", "client_crl_files"):
            if not asks and getattr(item, field):
                fix = f"write client_certificates: optional (or required), or remove {field}"
                yield Finding((*loc, field), "is of no use: this listener does not ask for client certificates", fix)


def tenants(desired: Desired) -> Iterator[Finding]:
    """Every tenant can prove itself somewhere."""
    asked = any(item.client_certificates != "none" for item in desired.listeners)
    for t, item in enumerate(desired.tenants):
        if not (item.keys or item.client_certificates or item.jwt):
            fix = "give it keys, client_certificates or jwt"
            yield Finding(("tenants", t, "name"), f"'{item.name}' has no credential and can never ask", fix)
        if item.client_certificates and not asked:
            fix = "write client_certificates: optional and client_ca_files at a listener"
            yield Finding(("tenants", t, "client_certificates"), "no listener asks for client certificates", fix)


def certificates(desired: Desired) -> Iterator[Named]:
    """Every property that stands for a tenant, with its place."""
    for t, tenant in enumerate(desired.tenants):
        for c, item in enumerate(tenant.client_certificates):
            kind, text = item.kind_and_text()
            yield ("tenants", t, "client_certificates", c), f"{kind}: {text}"


def all_tokens(desired: Desired) -> Iterator[Token]:
    """Every entry with its place and tenant."""
    for t, tenant in enumerate(desired.tenants):
        for j, item in enumerate(tenant.jwt):
            yield ("tenants", t, "jwt", j), t, item


def against_earlier(token: Token, earlier: list[Token]) -> Iterator[Finding]:
    """One issuer has one key file, and a token of it has one tenant."""
    loc, tenant, item = token
    for other_loc, other_tenant, other in earlier:
        if other.issuer != item.issuer:
            continue
        if other.jwks_file != item.jwks_file:
            what = f"the issuer '{item.issuer}' has another file at {path_text(other_loc)}"
            yield Finding((*loc, "jwks_file"), what, f"name {other.jwks_file} here too, or put the keys into one file")
            return
        if other_tenant != tenant and may_both_match(item, other):
            what = f"a token of '{item.issuer}' could also belong to the tenant at {path_text(other_loc[:2])}"
            fix = "give both a claim of one name with different texts, such as claims: { tenant: NAME }"
            yield Finding(loc, what, fix)
            return


def may_both_match(one: Jwt, other: Jwt) -> bool:
    """Whether no claim keeps them apart. (A token for two audiences matches both: that is refused when it comes.)"""
    if one.audience != other.audience:
        return False
    shared = one.claims.keys() & other.claims.keys()
    return all(one.claims[name] == other.claims[name] for name in shared)
