"""Writes the checked-in Python stubs of every .proto file in dpu_proto; `--check` compares only.

The versions in requirements.lock (grpcio-tools, mypy-protobuf) decide the text, so the comparison is exact everywhere.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent.parent


WRITERS = {"python": "", "grpc_python": "", "mypy": "quiet:", "mypy_grpc": "quiet:"}
"""protoc plugins and the options before their folder."""


def protos() -> list[str]:
    """Every .proto file, relative to the root, which is the include path."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "dpu_proto").rglob("*.proto"))


def generate(into: Path) -> None:
    """Runs protoc with the message, service and type-stub writers; raises SystemExit with protoc's own status."""
    outs = [f"--{kind}_out={quiet}{into}" for kind, quiet in WRITERS.items()]
    beside = Path(sys.executable).parent
    plugins = [f"--plugin={name}={beside / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    well_known = str(files("grpc_tools") / "_proto")
    status = protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *plugins, *outs, *protos()])
    if status != 0:
        sys.exit(status)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where a stub differs")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = {path.relative_to(scratch): path.read_text() for path in Path(scratch).rglob("*.py*")}
    stale = [name for name, text in fresh.items() if not (ROOT / name).exists() or (ROOT / name).read_text() != text]
    for name in sorted(stale):
        print(f"{'stale' if check else 'wrote'}: {name}")
        if not check:
            (ROOT / name).write_text(fresh[name])
    if check and stale:
        print("run: make gen", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
