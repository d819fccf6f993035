"""Who a request is from: client certificates, tokens, keys; which of them wins; and what each refusal is called."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs import authority, tokens
from tests.integration.clients import ALPHA, user
from tests.integration.identities import authority_of, gamma_of, issue, trust_with
from tests.integration.processes import Stack, total, until

BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "one two three"}]}
PATH = "/v1/chat/completions"
MODELS = "/v1/models"


def client_of(stack: Stack, context: ssl.SSLContext, authorization: str = "", *, http2: bool = False) -> httpx.Client:
    headers = {"authorization": authorization} if authorization else {}
    return httpx.Client(base_url=stack.url, verify=context, headers=headers, http1=not http2, http2=http2, timeout=30)


@pytest.fixture
def gamma(stack: Stack, certs: Path) -> Iterator[httpx.Client]:
    with client_of(stack, trust_with(stack.ca, gamma_of(certs))) as client:
        yield client


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"] if answer.is_error else ""


@pytest.mark.parametrize("http2", [False, True])
def test_client_certificate_is_its_tenant(stack: Stack, certs: Path, http2: bool) -> None:
    with client_of(stack, trust_with(stack.ca, gamma_of(certs)), http2=http2) as client:
        answers = [client.post(PATH, json=BODY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {stack.record_of(answer.headers["x-request-id"])["tenant"] for answer in answers} == {"gamma"}


def test_sdk_with_a_client_certificate_is_gamma(stack: Stack, certs: Path) -> None:
    http = openai.DefaultHttpxClient(verify=trust_with(stack.ca, gamma_of(certs)))
    key = "client-certificate"  # the SDK insists on one
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key, http_client=http, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="chat", messages=user("hi"))
    assert stack.record_of(raw.headers["x-request-id"])["tenant"] == "gamma"


def test_authorization_header_wins_and_a_bad_one_is_refused(stack: Stack, gamma: httpx.Client) -> None:
    answer = gamma.post(PATH, json=BODY, headers={"authorization": f"Bearer {ALPHA}"})
    assert stack.record_of(answer.headers["x-request-id"])["tenant"] == "alpha"
    for value, code in [("Bearer sk-nobody", "invalid_api_key"), ("Basic eDp5", "missing_api_key")]:
        refused = gamma.post(PATH, json=BODY, headers={"authorization": value})
        assert outcome(refused) == (401, code)
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_nobody_is_refused_with_the_challenge(stack: Stack) -> None:
    with client_of(stack, trust_with(stack.ca)) as client:
        placeholder = client.post(PATH, json=BODY, headers={"authorization": "Bearer client-certificate"})
        answer = client.post(PATH, json=BODY)
    assert outcome(placeholder) == (401, "invalid_api_key")
    assert outcome(answer) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_certificate_of_no_tenant_is_refused_and_may_bring_a_key(stack: Stack, certs: Path, tmp_path: Path) -> None:
    nobody = issue(authority_of(certs), tmp_path, "nobody", ("nobody",))
    with client_of(stack, trust_with(stack.ca, nobody)) as client:
        assert outcome(client.post(PATH, json=BODY)) == (401, "invalid_api_key")
        assert client.post(PATH, json=BODY, headers={"authorization": f"Bearer {ALPHA}"}).status_code == 200


def refused_handshake(stack: Stack, context: ssl.SSLContext) -> str:
    """The alert that the server sent. In TLS 1.3 it comes after the client's side of the handshake is done."""
    with client_of(stack, context) as client, pytest.raises(httpx.TransportError) as caught:
        client.post(PATH, json=BODY)
    return str(caught.value).lower()


def test_bad_client_certificates_end_the_handshake_by_reason(stack: Stack, certs: Path, tmp_path: Path) -> None:
    ca, stranger = authority_of(certs), authority.make_authority("stranger")
    cases = [
        (issue(stranger, tmp_path, "a", ("gamma",)), "unknown ca", "tls_client_certificate_unknown_ca"),
        (issue(ca, tmp_path, "b", ("gamma",), timedelta(minutes=-1)), "expired", "tls_client_certificate_expired"),
        (gamma_as_server(certs), "certificate", "tls_client_certificate_bad"),
    ]
    for files, alert, reason in cases:
        before = total(stack.fastpath.metrics(), "dpu_connection_refusals_total", reason=reason)
        assert alert in refused_handshake(stack, trust_with(stack.ca, files)).replace("_", " "), reason
        after = total(stack.fastpath.metrics(), "dpu_connection_refusals_total", reason=reason)
        assert after == before + 1, reason


def gamma_as_server(certs: Path) -> Any:
    """The server's own certificate: of the right CA, not for clients."""
    files = gamma_of(certs)
    return type(files)(certs / "server.pem", certs / "server.key", files.parsed)


def test_certificate_that_expires_on_an_open_connection_is_refused(stack: Stack, certs: Path, tmp_path: Path) -> None:
    brief = issue(authority_of(certs), tmp_path, "brief", ("gamma",), timedelta(seconds=3))
    with client_of(stack, trust_with(stack.ca, brief)) as client:
        assert client.get(MODELS).status_code == 200
        opened = total(stack.fastpath.metrics(), "dpu_connections_total")
        until(lambda: client.get(MODELS).status_code != 200, "the certificate has expired", 10)
        # A body would close it: this is the connection of the first request.
        assert outcome(client.get(MODELS)) == (401, "certificate_expired")
        assert total(stack.fastpath.metrics(), "dpu_connections_total") == opened


def bearer(certs: Path, **changes: object) -> str:
    key = tokens.load_key((certs / "jwt.key").read_bytes())
    return "Bearer " + tokens.token(key, {**tokens.claims("gamma", 60), **changes})


@pytest.mark.parametrize("http2", [False, True])
def test_token_is_its_tenant_and_is_verified_once_per_core(stack: Stack, certs: Path, http2: bool) -> None:
    def events() -> dict[str, float]:
        return {e: total(stack.fastpath.metrics(), "dpu_token_cache_total", event=e) for e in ("hit", "miss")}

    before = events()
    with client_of(stack, trust_with(stack.ca), bearer(certs, jti=str(time.time())), http2=http2) as client:
        answers = [client.post(PATH, json=BODY) for _ in range(5)]
    assert {stack.record_of(answer.headers["x-request-id"])["tenant"] for answer in answers} == {"gamma"}
    until(lambda: events() == {"hit": before["hit"] + 4, "miss": before["miss"] + 1}, "one signature, four hashes", 5)


def test_flaws_of_tokens_have_codes_of_their_own(stack: Stack, certs: Path) -> None:
    now = int(time.time())
    stranger = tokens.token(ec.generate_private_key(ec.SECP256R1()), tokens.claims("gamma", 60))
    cases = [
        (bearer(certs, exp=now - 60), "token_expired"),
        (bearer(certs, nbf=now + 60), "token_not_yet_valid"),
        (bearer(certs, aud="somebody"), "invalid_token_audience"),
        (bearer(certs, tenant="nobody"), "invalid_token_claims"),
        (bearer(certs, iss="https://elsewhere.invalid"), "invalid_api_key"),
        (f"Bearer {stranger}", "invalid_api_key"),
        (bearer(certs)[:-2], "invalid_api_key"),
    ]
    with client_of(stack, trust_with(stack.ca)) as client:
        for authorization, code in cases:
            answer = client.post(PATH, json=BODY, headers={"authorization": authorization})
            assert outcome(answer) == (401, code)
            assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')
            assert authorization.split()[1] not in answer.text


@pytest.mark.parametrize("http2", [False, True])
def test_host_other_than_the_sni_is_misdirected(stack: Stack, http2: bool) -> None:
    with client_of(stack, trust_with(stack.ca), f"Bearer {ALPHA}", http2=http2) as client:
        for host, status in [
            ("other.example", 421),
            ("127.0.0.1", 421),
            ("localhost.example", 421),
            ("LOCALHOST.", 200),
            (f"localhost:{stack.port}", 200),
            ("localhost:1", 200),
        ]:
            answer = client.post(PATH, json=BODY, headers={"host": host})
            assert answer.status_code == status, host
        refused = client.post(PATH, json=BODY, headers={"host": "other.example"})
    assert outcome(refused) == (421, "misdirected_request")
    assert stack.record_of(refused.headers["x-request-id"])["reason"] == "http_misdirected"


def test_without_sni_any_host_is_served(stack: Stack) -> None:
    context = trust_with(stack.ca)
    url = f"https://127.0.0.1:{stack.port}"
    headers = {"authorization": f"Bearer {ALPHA}", "host": "anything.example"}
    with httpx.Client(base_url=url, verify=context, headers=headers) as client:
        assert client.post(PATH, json=BODY).status_code == 200
