"""Client certificates and tokens in the desired state: contradictions at their place, bad values, the plan."""

from __future__ import annotations

import pytest

from dpu_app.model.plan import PlanJwt
from dpu_app.targets.fastpath_plan import to_proto
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from tests.unit.dpu_app.samples import KEY, edited, plan, problems

ASKS = ("8443\n", "8443\n    client_certificates: optional\n    client_ca_files: [ca.pem, more/ca.pem]\n")
JWT = "{ issuer: https://i, audience: a, jwks_file: k.json, claims: { tenant: %s } }"


def with_tenant(credentials: str, second: str = "") -> str:
    """The sample whose listener asks; alpha, and beta where there is a second one, have these credentials."""
    beta = f"  - name: beta\n    {second}\n    models: [chat]\n" if second else ""
    return edited(
        ASKS, (f"    keys: [{KEY}]\n", f"    {credentials}\n"), ("models:\n  - name", f"{beta}models:\n  - name")
    )


@pytest.mark.parametrize(
    ("text", "path", "what"),
    [
        (edited(("8443\n", "8443\n    client_certificates: optional\n")), "listeners[0].client_certificates", "no CA"),
        (edited(("8443\n", "8443\n    client_ca_files: [ca.pem]\n")), "listeners[0].client_ca_files", "does not ask"),
        (edited(("8443\n", "8443\n    client_crl_files: [c.pem]\n")), "listeners[0].client_crl_files", "does not ask"),
        (edited(("8443\n", "8443\n    client_certificates: maybe\n")), "listeners[0].client_certificates", "not known"),
        (edited(("8443\n", '8443\n    tls: { min_version: "1.1" }\n')), "listeners[0].tls.min_version", "not known"),
        (edited((f"    keys: [{KEY}]\n", "")), "tenants[0].name", "'alpha' has no credential"),
        (edited((f"keys: [{KEY}]", "client_certificates: [{ san_dns: a }]")),
         "tenants[0].client_certificates", "no listener asks"),
        (with_tenant("client_certificates: [{ san_dns: a }, { san_dns: a }]"),
         "tenants[0].client_certificates[1]", "'san_dns: a' is already"),
        (with_tenant("client_certificates: [{ subject_cn: a }]", "client_certificates: [{ subject_cn: a }]"),
         "tenants[1].client_certificates[0]", "'subject_cn: a' is already at tenants[0].client_certificates[0]"),
        (with_tenant("client_certificates: [{ san_dns: a, subject_cn: a }]"),
         "tenants[0].client_certificates[0]", "exactly one property"),
        (with_tenant("client_certificates: [{}]"), "tenants[0].client_certificates[0]", "exactly one property"),
        (with_tenant("client_certificates: [{ spki_sha256: abc }]"),
         "tenants[0].client_certificates[0].spki_sha256", "not a SHA-256"),
        (with_tenant(f"jwt: [{JWT % 'a'}]", f"jwt: [{JWT % 'a'}]"), "tenants[1].jwt[0]", "the tenant at tenants[0]"),
        (with_tenant(f"jwt: [{JWT % 'a'}]", f"jwt: [{JWT.replace('tenant:', 'team:') % 'b'}]"),
         "tenants[1].jwt[0]", "the tenant at tenants[0]"),
        (with_tenant(f"jwt: [{JWT % 'a'}, {JWT.replace('k.json', 'l.json') % 'b'}]"),
         "tenants[0].jwt[1].jwks_file", "another file"),
        (with_tenant("jwt: [{ issuer: i, audience: a, jwks_file: k, algorithms: [HS256] }]"),
         "tenants[0].jwt[0].algorithms[0]", "not known"),
        (with_tenant("jwt: [{ issuer: i, audience: a, jwks_file: k, leeway: 1h }]"),
         "tenants[0].jwt[0]", "more than 5 minutes"),
    ],
)  # fmt: skip
def test_contradiction_is_found_at_its_place(text: str, path: str, what: str) -> None:
    found = problems(text)
    assert [problem.path for problem in found] == [path]
    assert what in found[0].what
    assert found[0].fix and found[0].line > 0


@pytest.mark.parametrize(
    "text",
    [
        with_tenant("client_certificates: [{ san_dns: a }]", "client_certificates: [{ san_uri: a }]"),
        with_tenant(f"jwt: [{JWT % 'a'}]", f"jwt: [{JWT % 'b'}]"),
        with_tenant(f"jwt: [{JWT % 'a'}]", f"jwt: [{JWT.replace('audience: a', 'audience: b') % 'a'}]"),
        with_tenant(f"jwt: [{JWT % 'a'}, {JWT % 'a'}]"),
    ],
)
def test_credentials_that_can_be_told_apart_are_valid(text: str) -> None:
    assert problems(text) == []


def test_plan_has_absolute_files_and_settled_values() -> None:
    digest = "ab" * 32
    made = plan(text=with_tenant(f"jwt: [{JWT % 'a'}]", f"client_certificates: [{{ spki_sha256: 'sha256:{digest}' }}]"))
    (listener,) = made.listeners
    assert listener.client_ca_files == ("/etc/dpu/ca.pem", "/etc/dpu/more/ca.pem")
    algorithms = ("ES256", "EdDSA", "PS256", "RS256")
    assert made.tenants[0].jwt == (
        PlanJwt("https://i", "a", "/etc/dpu/k.json", (("tenant", "a"),), algorithms, 30_000),
    )
    assert made.tenants[1].client_certificates == (("spki_sha256", digest),)
    message = to_proto(made)
    assert message.listeners[0].client_certificates == pb.CLIENT_CERTIFICATES_OPTIONAL
    assert message.listeners[0].tls_min_version == "1.3"
    assert message.tenants[1].client_certificates[0].spki_sha256 == bytes.fromhex(digest)
    assert message.tenants[0].jwt[0].claims == {"tenant": "a"}
    assert message.token_cache_entries_max == 4096


def test_a_name_may_stand_under_certificates_with_keys_of_two_kinds() -> None:
    entry = "      - { server_names: [localhost], certificate_file: b, private_key_file: c }\n"
    assert problems(edited(("tenants:\n", entry + "tenants:\n"))) == []
    found = problems(edited(("tenants:\n", entry * 3 + "tenants:\n")))
    assert [problem.path for problem in found] == ["listeners[0].certificates[3].server_names[0]"]
