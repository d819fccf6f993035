"""Writes requirements.lock: the exact version of every Python package that `make` installs.

Asks pip to resolve pyproject.toml (run-time dependencies, the `openai` and `dev` extras) as if nothing were installed,
and adds the pins of the `llama` extra as they stand: that one is installed without dependencies. Run it as `make lock`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements.lock"
HEAD = "# Made by `make lock` from pyproject.toml; installed with --no-deps. Do not edit.\n"


def resolve(requirements: list[str]) -> list[str]:
    """`name==version` lines for the requirements and all that they need; pip's own resolver answers."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, *requirements], check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    found = [item["metadata"] for item in report["install"]]
    return [f"{metadata['name'].lower().replace('_', '-')}=={metadata['version']}" for metadata in found]


def main() -> int:
    """Command line; returns the exit status."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = resolve([*project["dependencies"], *extras["openai"], *extras["dev"]]) + list(extras["llama"])
    LOCK.write_text(HEAD + "".join(f"{pin}\n" for pin in sorted(pins)))
    print(f"wrote {LOCK.name}: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
