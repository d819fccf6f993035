"""tlsfuzzer's TLS 1.3 scripts from the copy at TLSFUZZER, with tlslite-ng in a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# tlsfuzzer goes with the betas of its library.
REQUIREMENT = "tlslite-ng>=0.9.0b2"


def interpreter(run_dir: Path) -> Path:
    """Python with the scripts' library; made once. Raises CalledProcessError where it cannot be installed."""
    folder = run_dir / "tlsfuzzer-venv"
    python = folder / "bin/python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--pre", REQUIREMENT], check=True)
        (folder / "made").touch()
    return python


def run(which: str, **environment: str) -> int:
    """The tests of one tool, which are skipped elsewhere; returns pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "tests/conformance/test_tls_tools.py", "-k", which]
    return subprocess.run(
        command, check=False, cwd=ROOT, env={**os.environ, "CONFORMANCE": "1", **environment}
    ).returncode


def main() -> int:
    """0 where nothing new fails, or where there is no copy."""
    if not os.environ.get("TLSFUZZER"):
        print("tlsfuzzer: skipped, no copy of it: TLSFUZZER=FOLDER make conformance")
        return 0
    run_dir = Path(os.environ.get("RUN_DIR", ROOT / ".run"))
    return run("tlsfuzzer", TLSFUZZER_PYTHON=str(interpreter(run_dir)))


if __name__ == "__main__":
    sys.exit(main())
