"""What the packet stage needs of the machine, as a reason to skip where it is not there."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path

import pytest


def packet_stage_missing() -> str:
    """Why XDP cannot be tried here; empty where it can."""
    if os.geteuid() != 0:
        return "XDP needs root"
    if not os.path.ismount("/sys/fs/bpf"):
        return "bpffs is not mounted on /sys/fs/bpf (deploy/setup/bpf.sh)"
    if not (Path("/lib/modules") / platform.release() / "build").exists():
        return "no kernel headers for BCC (deploy/setup/bpf.sh)"
    if importlib.util.find_spec("bcc") is None:
        return "BCC is not installed (python3-bpfcc)"
    return ""


needs_xdp = pytest.mark.skipif(bool(packet_stage_missing()), reason=packet_stage_missing() or "it is all there")
