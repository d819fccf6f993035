"""Privileges are gone for good, in this process and in whatever it starts."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

LOOK = """
import pathlib, resource, subprocess, sys, threading
from dpu_app.fastpath.privileges import give_up
give_up(*sys.argv[1:])
def look():
    lines = pathlib.Path("/proc/thread-self/status").read_text().splitlines()
    print(*[line for line in lines if line.startswith(("Cap", "NoNewPrivs", "Uid", "Gid"))], sep="\\n")
thread = threading.Thread(target=look)
thread.start()
thread.join()
print("Core:", *resource.getrlimit(resource.RLIMIT_CORE))
sys.stdout.flush()
subprocess.run(["grep", "-E", "CapEff|CapPrm", "/proc/self/status"])
"""


def look(*arguments: str) -> dict[str, set[str]]:
    """What a process and its child say after giving up."""
    done = subprocess.run([sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    seen: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(":")
        seen.setdefault(name, set()).add(value.strip())
    return seen


def test_no_capability_is_left_in_thread_or_child() -> None:
    seen = look()
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert seen[name] == {"0" * 16}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may empty the bounding set")
def test_bounding_set_is_empty() -> None:
    assert look()["CapBnd"] == {"0" * 16}


def test_no_new_privileges_and_no_core_dumps() -> None:
    seen = look()
    assert seen["NoNewPrivs"] == {"1"}
    assert seen["Core"] == {"0 0"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_other_user_is_taken_on_with_its_group() -> None:
    nobody = pwd.getpwnam("nobody")
    seen = look("nobody")
    assert seen["Uid"] == {"\t".join([str(nobody.pw_uid)] * 4)}
    assert seen["Gid"] == {"\t".join([str(nobody.pw_gid)] * 4)}
    assert seen["CapEff"] == {"0" * 16}


def test_unknown_user_ends_the_start() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK, "no-such-user"], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "PrivilegeError: cannot give up privileges" in done.stderr
