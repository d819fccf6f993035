"""What is generated from the tables is checked in as it would be generated now."""

from __future__ import annotations

import subprocess
import sys

from abi.gen.reasons import INFO, Reason
from abi.generate import ROOT, outputs


def test_generated_files_are_current() -> None:
    done = subprocess.run([sys.executable, "-m", "abi.generate", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_languages_get_each_table() -> None:
    names = sorted(str(path.relative_to(ROOT)) for path in outputs())
    assert names == [
        "abi/gen/packet.py",
        "abi/gen/reasons.py",
        "abi/gen/worker_frame.py",
        "bpf/gen/packet.h",
        "fastpath/types/src/gen/packet.rs",
        "fastpath/types/src/gen/reasons.rs",
        "fastpath/types/src/gen/worker_frame.rs",
        "p4/gen/packet.p4",
    ]


def test_every_reason_is_described() -> None:
    assert set(INFO) == set(Reason)
