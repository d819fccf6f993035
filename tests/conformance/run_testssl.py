"""testssl.sh (Debian's package) against a modern and an old listener, compared with its frozen findings."""

from __future__ import annotations

import subprocess
import sys

from tests.conformance.run_tlsfuzzer import ROOT, run


def main() -> int:
    """0 where it finds what it found before."""
    subprocess.run([ROOT / "deploy/setup/packages.sh", "testssl"], check=True)
    return run("testssl")


if __name__ == "__main__":
    sys.exit(main())
