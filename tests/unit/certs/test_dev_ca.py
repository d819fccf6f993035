"""The development CA: what OpenSSL and pyOpenSSL think of it, and that good files are kept."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from OpenSSL import crypto

from certs import authority, dev_ca
from certs.profiles import PROFILES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dev")
    dev_ca.make(directory, (("client", "alice"), ("worker", "w0")))
    return directory


@pytest.mark.parametrize(
    ("stem", "purpose"), [("server", "sslserver"), ("client-alice", "sslclient"), ("worker-w0", "sslserver")]
)
def test_openssl_accepts_each_certificate_for_its_purpose(made: Path, stem: str, purpose: str) -> None:
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(made / "ca.pem")]
    subprocess.run([*command, str(made / f"{stem}.pem")], check=True, capture_output=True)


def test_openssl_refuses_a_client_certificate_as_a_server(made: Path) -> None:
    command = [
        "openssl",
        "verify",
        "-purpose",
        "sslserver",
        "-CAfile",
        str(made / "ca.pem"),
        str(made / "client-alice.pem"),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("name", ["-verify_hostname localhost", "-verify_ip 127.0.0.1", "-verify_ip ::1"])
def test_server_certificate_names_loopback(made: Path, name: str) -> None:
    command = ["openssl", "verify", *name.split(), "-CAfile", str(made / "ca.pem"), str(made / "server.pem")]
    subprocess.run(command, check=True, capture_output=True)


def test_pyopenssl_agrees_with_openssl(made: Path) -> None:
    store = crypto.X509Store()
    store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, (made / "ca.pem").read_bytes()))
    leaf = crypto.load_certificate(crypto.FILETYPE_PEM, (made / "server.pem").read_bytes())
    crypto.X509StoreContext(store, leaf).verify_certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "server.pem", made / "server.key")


def test_second_run_writes_nothing(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    assert dev_ca.make(made) == []
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_files_are_for_the_owner_alone(made: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}


def test_worker_key_has_32_bytes(made: Path) -> None:
    assert len((made / "worker.key").read_bytes()) == 32


@pytest.mark.parametrize(("days_left", "good"), [(8, True), (6, False), (-1, False)])
def test_certificate_is_renewed_a_week_before_it_ends(days_left: int, good: bool) -> None:
    now = datetime.now(UTC)
    ca = authority.make_authority("test", now)
    leaf = authority.issue(ca, PROFILES["server"], "localhost", now)
    later = now + timedelta(days=PROFILES["server"].days - days_left)
    assert authority.is_good(leaf, ca, later) is good


def test_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    dev_ca.make(tmp_path)
    (tmp_path / "ca.key").unlink()
    assert dev_ca.make(tmp_path) == ["ca.key", "ca.pem", "server.key", "server.pem"]


def test_key_of_another_certificate_is_replaced(tmp_path: Path) -> None:
    dev_ca.make(tmp_path)
    dev_ca.write_secret(tmp_path / "server.key", authority.make_authority("x").key_pem())
    assert dev_ca.make(tmp_path) == ["server.key", "server.pem"]


@pytest.mark.parametrize("item", ["alice", "bogus:alice", "client:../alice"])
def test_command_refuses_what_is_not_a_profile_and_a_name(item: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        dev_ca.main(["--dir", str(tmp_path), "--issue", item])
