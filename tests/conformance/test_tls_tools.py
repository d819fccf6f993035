"""testssl.sh and tlsfuzzer against the running program: what they find is frozen, and a new finding fails.

Minutes of work and tools from elsewhere: `make conformance` runs it, `make test` says that it was skipped. The frozen
lists are tests/conformance/testssl_frozen.json (write it anew with FREEZE=1, then read the difference) and
tlsfuzzer_frozen.toml.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.tls_listeners import TlsStack, tls_stack

HERE = Path(__file__).parent
TESTSSL_FROZEN = HERE / "testssl_frozen.json"
SCRIPTS: list[dict[str, Any]] = tomllib.loads((HERE / "tlsfuzzer_frozen.toml").read_text())["script"]
TLSFUZZER = os.environ.get("TLSFUZZER", "")
TLSFUZZER_PYTHON = os.environ.get("TLSFUZZER_PYTHON", "")
RETRIES = 4
HEAVY = pytest.mark.skipif(not os.environ.get("CONFORMANCE"), reason="minutes of work: make conformance")
# What differs from day to day and from certificate to certificate; the last are the tool's own circumstances.
VOLATILE = re.compile(
    r"^(cert( |_serialNumber |_fingerprint|_not|_expirationStatus|_validityPeriod)|HTTP_clock_skew|engine_problem"
    # Whether a TLS 1.3 ticket comes before its openssl has closed is luck: test_tls_sessions.py tries resumption.
    r"|scanTime|DROWN_hint|TLS_timestamp|TLS_session_ticket|sessionresumption_)"
)


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[TlsStack]:
    yield from tls_stack(tmp_path_factory.mktemp("tls"), certs)


def findings(ca: Path, port: int, folder: Path) -> list[str]:
    """`id: severity: finding` of everything that testssl.sh finds, sorted."""
    out = folder / f"testssl-{port}.json"
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"]
    command += ["--connect-timeout", "10", "--openssl-timeout", "10", "--add-ca", str(ca), "--jsonfile", str(out)]
    # It looks for its data beside itself; the exit status is the number of findings that it dislikes.
    subprocess.run([*command, f"localhost:{port}"], check=False, capture_output=True, timeout=900, cwd=folder)
    listed = json.loads(out.read_text())
    assert len(listed) > 100, "testssl.sh did not come to its end"
    kept = [item for item in listed if not VOLATILE.match(item["id"])]
    return sorted(f"{item['id']}: {item['severity']}: {item['finding']}" for item in kept)


@HEAVY
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["modern", "old"])
def test_testssl_finds_what_it_found_before(listeners: TlsStack, name: str, tmp_path: Path) -> None:
    if shutil.which("testssl") is None:
        pytest.skip("testssl.sh is not installed: deploy/setup/packages.sh conformance")
    found = findings(listeners.stack.ca, getattr(listeners, name), tmp_path)
    frozen: dict[str, list[str]] = json.loads(TESTSSL_FROZEN.read_text()) if TESTSSL_FROZEN.exists() else {}
    if os.environ.get("FREEZE"):
        TESTSSL_FROZEN.write_text(json.dumps({**frozen, name: found}, indent=1) + "\n")
        frozen = {name: found}
    assert sorted(set(found) - set(frozen[name])) == [], "new"
    assert sorted(set(frozen[name]) - set(found)) == [], "no longer found"


def conversations(output: str) -> tuple[int, list[str]]:
    """How many passed, and the names of those that failed."""
    passed = re.search(r"^PASS: (\d+)$", output, re.MULTILINE)
    assert passed, f"the script did not come to its end:\n{output[-2000:]}"
    return int(passed[1]), re.findall(r"^\t'(.*)'$", output.partition("\nFAILED:")[2], re.MULTILINE)


def run_script(listeners: TlsStack, script: dict[str, Any], *only: str) -> tuple[int, list[str]]:
    """Runs all conversations of a script, or some of them by name."""
    port = getattr(listeners, script.get("listener", "modern"))
    command = [TLSFUZZER_PYTHON or "python3", f"scripts/test-{script['name']}.py", "-h", "localhost", "-p", str(port)]
    command += [*script.get("options", []), *only]
    run = subprocess.run(command, cwd=TLSFUZZER, check=False, capture_output=True, text=True, timeout=600)
    return conversations(run.stdout + run.stderr)


@HEAVY
@pytest.mark.timeout(900)
@pytest.mark.skipif(not TLSFUZZER, reason="no copy of tlsfuzzer: TLSFUZZER=FOLDER make conformance")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script["name"])
def test_tlsfuzzer_script_fails_nothing_new(listeners: TlsStack, script: dict[str, Any]) -> None:
    passed, failed = run_script(listeners, script)
    new = [name for name in failed if not any(re.fullmatch(known, name) for known in script.get("except", []))]
    print(f"{script['name']}: {passed} passed, {len(failed) - len(new)} as frozen, {len(new)} others: {new}")
    # The scripts ask by HTTP/1.0, and our answer, which ends such a connection, may come before what they send after
    # the question. A conversation that goes wrong for that reason goes right another time; a real failure never does.
    again = [name for name in new if all(run_script(listeners, script, name)[1] for _ in range(RETRIES))]
    assert again == []
    assert passed + len(new) >= script["passes_min"]
