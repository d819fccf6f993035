"""Writes the Rust, Python, C and P4 sides of `abi/tables/*.toml`.

`python -m abi.generate` writes the files; `--check` writes nothing and exits 1 where a file differs.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from abi import emit_frame, emit_packet, emit_reasons

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "abi" / "tables"


def outputs() -> dict[Path, str]:
    """Every generated file and what has to stand in it."""
    reasons = table("reasons.toml")
    frame = table("worker_frame.toml")
    packet = table("packet.toml")
    rust = ROOT / "fastpath" / "types" / "src" / "gen"
    python = ROOT / "abi" / "gen"
    return {
        rust / "reasons.rs": emit_reasons.rust(reasons),
        python / "reasons.py": emit_reasons.python(reasons),
        rust / "worker_frame.rs": emit_frame.rust(frame),
        python / "worker_frame.py": emit_frame.python(frame),
        rust / "packet.rs": emit_packet.rust(packet),
        python / "packet.py": emit_packet.python(packet),
        ROOT / "bpf" / "gen" / "packet.h": emit_packet.c_header(packet, reasons),
        ROOT / "p4" / "gen" / "packet.p4": emit_packet.p4_constants(packet, reasons),
    }


def table(name: str) -> dict[str, Any]:
    """One table as `tomllib` reads it."""
    with (TABLES / name).open("rb") as file:
        return tomllib.load(file)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where a file differs")
    check: bool = parser.parse_args().check
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs()[path])
    if check and stale:
        print("run: python -m abi.generate", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
