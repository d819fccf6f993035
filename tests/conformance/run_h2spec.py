"""h2spec against the running program: at least 145 of its 146 cases pass, and the exceptions are the frozen ones.

Run by `make conformance`. The tool comes from Go's module proxy, once, into the run folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from tests.integration.processes import ROOT, build, make_certificates, running

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@latest"
FROZEN = ROOT / "tests/conformance/h2spec_exceptions.txt"
CASES = 146
RUN_TIMEOUT_S = 600


def tool() -> Path:
    """h2spec, installed where it is not; the exit explains what is missing."""
    found = shutil.which("h2spec")
    if found:
        return Path(found)
    folder = Path(os.environ.get("RUN_DIR", ROOT / ".run")) / "bin"
    if not (folder / "h2spec").exists():
        go = shutil.which("go") or sys.exit("h2spec: no 'go' here; run: apt-get install golang-go")
        print("h2spec: installing with go", flush=True)
        subprocess.run([go, "install", MODULE], check=True, env={**os.environ, "GOBIN": str(folder.resolve())})
    return folder / "h2spec"


def exceptions() -> set[str]:
    """Names of cases that may fail, one a line; what is behind '#' says why."""
    lines = (line.split("#")[0].strip() for line in FROZEN.read_text().splitlines())
    return {line for line in lines if line}


def run(h2spec: Path, port: int, report: Path, cases: Sequence[str]) -> None:
    """Writes the report; the tool's own exit status only says that something failed."""
    listener = ["-h", "127.0.0.1", "-p", str(port), "-t", "-k", "-o", "3", "-S", "-P", "/v1/models"]
    command = [str(h2spec), *listener, "-j", str(report)]
    subprocess.run([*command, *cases], check=False, timeout=RUN_TIMEOUT_S)


def verdict(report: Path) -> int:
    """Prints the figures; the exit status."""
    cases = ET.parse(report).getroot().iter("testcase")
    failed, count = set(), 0
    for case in cases:
        count += 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(f"{case.get('package')}/{case.get('classname')}")
    unknown = sorted(failed - exceptions())
    print(f"h2spec: {count - len(failed)} of {count} passed; failed: {sorted(failed) or 'none'}")
    if unknown:
        print(f"h2spec: not among the frozen exceptions of {FROZEN.relative_to(ROOT)}: {unknown}")
    return 1 if unknown or count < CASES or len(failed) > 1 else 0


def main() -> int:
    """Command line: cases of h2spec, all where none is named."""
    h2spec = tool()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        for stack in running(build(folder, folder)):
            run(h2spec, stack.port, folder / "report.xml", sys.argv[1:])
        return verdict(folder / "report.xml")


if __name__ == "__main__":
    sys.exit(main())
