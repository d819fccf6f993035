"""Versions, kinds of key, sessions and revocation as real TLS clients meet them: Python's ssl and openssl."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from ruamel.yaml import YAML

from tests.conformance.tls_listeners import TlsStack, tls_stack
from tests.integration.clients import ALPHA
from tests.integration.identities import authority_of, gamma_of, issue, revoke, trust_with
from tests.integration.processes import Stack, build, running, total, until

ASK = f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {ALPHA}\r\nconnection: close\r\n\r\n"
TLS12 = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[TlsStack]:
    yield from tls_stack(tmp_path_factory.mktemp("sessions"), certs)


class Visit(NamedTuple):
    """What a client knows of a connection that it has closed."""

    session: ssl.SSLSession | None
    resumed: bool
    version: str | None
    certificate: bytes


def visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Visit:
    """One request on one connection. Raises SSLError, and AssertionError where the answer is not 200."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(raw, server_hostname="localhost", session=session) as client:
        client.sendall(ASK.encode())
        answer = b""
        while part := client.recv(4096):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return Visit(client.session, bool(client.session_reused), client.version(), client.getpeercert(True) or b"")


@pytest.mark.parametrize("version", [None, TLS12])
def test_session_resumes_on_its_listener_and_nowhere_else(
    listeners: TlsStack, certs: Path, version: ssl.TLSVersion | None
) -> None:
    home = listeners.old if version else listeners.modern
    context = trust_with(listeners.stack.ca, gamma_of(certs))
    context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
    session, resumed, *_ = visit(home, context)
    assert not resumed
    label = {"resumed": "yes", "version": "1.2" if version else "1.3"}
    before = total(listeners.stack.fastpath.metrics(), "dpu_tls_handshakes_total", **label)
    assert visit(home, context, session).resumed
    assert total(listeners.stack.fastpath.metrics(), "dpu_tls_handshakes_total", **label) == before + 1
    for other in {listeners.modern, listeners.old, listeners.required, listeners.stack.port} - {home}:
        if version and other != listeners.old:
            continue  # speaks TLS 1.3 only
        assert not visit(other, context, session).resumed


def test_session_of_a_client_certificate_resumes_with_it(listeners: TlsStack, certs: Path) -> None:
    context = trust_with(listeners.stack.ca, gamma_of(certs))
    session = visit(listeners.required, context).session
    label = {"resumed": "yes", "client_certificate": "yes"}
    before = total(listeners.stack.fastpath.metrics(), "dpu_tls_handshakes_total", **label)
    assert visit(listeners.required, context, session).resumed
    assert total(listeners.stack.fastpath.metrics(), "dpu_tls_handshakes_total", **label) == before + 1


def test_listener_that_requires_a_certificate_says_so(listeners: TlsStack) -> None:
    reason = "tls_client_certificate_missing"
    before = total(listeners.stack.fastpath.metrics(), "dpu_connection_refusals_total", reason=reason)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
        visit(listeners.required, trust_with(listeners.stack.ca))
    assert total(listeners.stack.fastpath.metrics(), "dpu_connection_refusals_total", reason=reason) == before + 1


def test_ticket_offers_no_early_data(listeners: TlsStack, tmp_path: Path) -> None:
    file = tmp_path / "session.pem"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listeners.modern}", "-servername", "localhost"]
    command += ["-CAfile", str(listeners.stack.ca), "-ign_eof", "-sess_out", str(file)]
    subprocess.run(command, input=ASK, text=True, capture_output=True, timeout=20, check=True)
    text = subprocess.run(["openssl", "sess_id", "-in", file, "-noout", "-text"], capture_output=True, text=True)
    assert "TLS session ticket:" in text.stdout
    assert "Max Early Data: 0" in text.stdout


def test_versions_are_those_of_the_listener(listeners: TlsStack) -> None:
    context = trust_with(listeners.stack.ca)
    assert visit(listeners.old, context).version == "TLSv1.3"
    context.maximum_version = TLS12
    assert visit(listeners.old, context).version == "TLSv1.2"
    before = total(listeners.stack.fastpath.metrics(), "dpu_connection_refusals_total", reason="tls_version")
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        visit(listeners.modern, context)
    assert (
        total(listeners.stack.fastpath.metrics(), "dpu_connection_refusals_total", reason="tls_version") == before + 1
    )


@pytest.mark.parametrize(
    ("ciphers", "key"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", ec.EllipticCurvePublicKey),
        ("ECDHE-RSA-AES128-GCM-SHA256", rsa.RSAPublicKey),
        ("ECDHE-RSA-CHACHA20-POLY1305", rsa.RSAPublicKey),
        ("ECDHE+AESGCM", ec.EllipticCurvePublicKey),
        ("AES128-GCM-SHA256", None),
        ("ECDHE-RSA-AES128-SHA256", None),
        ("DHE-RSA-AES128-GCM-SHA256", None),
    ],
)
def test_certificate_is_of_the_kind_that_the_client_can_use(
    listeners: TlsStack, ciphers: str, key: type | None
) -> None:
    context = trust_with(listeners.stack.ca)
    context.maximum_version = TLS12
    context.set_ciphers(ciphers)
    if key is None:
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
            visit(listeners.old, context)
    else:
        assert isinstance(x509.load_der_x509_certificate(visit(listeners.old, context).certificate).public_key(), key)


def desire(stack: Stack, **settings: object) -> None:
    """Changes the first listener of the desired state and has the agent read it again."""
    yaml = YAML()
    desired = yaml.load(stack.config.read_text())
    desired["listeners"][0].update(settings)
    with stack.config.open("w") as file:
        yaml.dump(desired, file)
    stack.agent.send(signal.SIGHUP)


def reload_with(stack: Stack, **settings: object) -> None:
    """The same, until the fast path has it."""
    before = total(stack.fastpath.metrics(), "dpu_plan_epoch")
    desire(stack, **settings)
    until(lambda: total(stack.fastpath.metrics(), "dpu_plan_epoch") > before, "the new plan is programmed")


def test_revocation_reaches_open_connections_tickets_and_handshakes(certs: Path, tmp_path: Path) -> None:
    ca, other = authority_of(certs), tmp_path / "other.crl"
    gamma, victim = gamma_of(certs), issue(authority_of(certs), tmp_path, "victim", ("gamma",))
    for _ in running(stack := build(tmp_path, certs)):
        context = trust_with(stack.ca, victim)
        session = visit(stack.port, context).session
        with httpx.Client(base_url=stack.url, verify=trust_with(stack.ca, victim)) as client:
            assert client.get("/v1/models").status_code == 200
            revoke(ca, other, victim.parsed)
            reload_with(stack, client_crl_files=[str(other)])
            refused = client.get("/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "certificate_revoked")
        assert stack.record_of(refused.headers["x-request-id"])["reason"] == "auth_certificate_revoked"
        with pytest.raises(AssertionError):  # the ticket opens the connection, the request is refused
            visit(stack.port, context, session)
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.revoked"):
            visit(stack.port, trust_with(stack.ca, victim))
        with httpx.Client(base_url=stack.url, verify=trust_with(stack.ca, gamma)) as client:
            assert client.get("/v1/models").status_code == 200
            # Another mode: tickets and connections of the old one are worth nothing any more.
            reload_with(stack, client_certificates="required")
            assert client.get("/v1/models").json()["error"]["code"] == "certificate_revoked"


def test_certificate_that_has_expired_refuses_the_plan_and_the_old_one_stays(certs: Path, tmp_path: Path) -> None:
    usage = ExtendedKeyUsageOID.SERVER_AUTH
    old = issue(authority_of(certs), tmp_path, "expired", ("localhost",), timedelta(minutes=-5), usage)
    for _ in running(stack := build(tmp_path, certs)):
        certificate = {
            "server_names": ["localhost"],
            "certificate_file": str(old.certificate),
            "private_key_file": str(old.key),
        }
        desire(stack, certificates=[certificate])
        until(lambda: "the certificate expired" in stack.agent.log.read_text(), "the agent says why", 10)
        visit(stack.port, trust_with(stack.ca))
