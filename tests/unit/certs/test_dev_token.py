"""Development tokens: the JWK set is the key's, a second run keeps both, and what is printed can be verified."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from certs import dev_ca, dev_token, tokens


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_command_makes_what_the_development_configuration_names(tmp_path: Path) -> None:
    assert dev_ca.main(["--dir", str(tmp_path)]) == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"client-gamma.pem", "client-gamma.key", "jwks.json", "jwt.key"} <= made.keys()
    assert dev_ca.main(["--dir", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == made
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_key_set_of_another_key_is_replaced(tmp_path: Path) -> None:
    assert dev_ca.keep_or_make_token_key(tmp_path) == ["jwt.key", "jwks.json"]
    assert dev_ca.keep_or_make_token_key(tmp_path) == []
    (tmp_path / "jwks.json").write_bytes(tokens.jwks(tokens.make_key()))
    assert dev_ca.keep_or_make_token_key(tmp_path) == ["jwt.key", "jwks.json"]


def test_printed_token_is_signed_by_the_key_of_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev_ca.keep_or_make_token_key(tmp_path)
    assert dev_token.main(["--tenant", "gamma", "--dir", str(tmp_path), "--lifetime", "60"]) == 0
    header, claims, signature = capsys.readouterr().out.strip().split(".")
    (public,) = json.loads((tmp_path / "jwks.json").read_bytes())["keys"]
    assert json.loads(decoded(header)) == {"alg": "ES256", "typ": "JWT", "kid": public["kid"]}
    said = json.loads(decoded(claims))
    assert (said["tenant"], said["exp"] - said["iat"]) == ("gamma", 60)
    x, y = (int.from_bytes(decoded(public[name])) for name in "xy")
    r, s = (int.from_bytes(part) for part in (decoded(signature)[:32], decoded(signature)[32:]))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(encode_dss_signature(r, s), f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_without_a_key_the_fix_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev_token.main(["--tenant", "gamma", "--dir", str(tmp_path)]) == 1
    assert "python -m certs.dev_ca" in capsys.readouterr().err
