"""The set-up scripts when something is wrong: they stop, say what and how to fix it, and show the end of the log."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

SETUP = Path(__file__).resolve().parents[4] / "deploy/setup"


def run(script: str, run_dir: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Runs bash code in a folder of its own, so that it neither waits for nor disturbs a set-up of this clone."""
    environment = {**os.environ, "RUN_DIR": str(run_dir), "PATH": path}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_failed_step_stops_with_the_end_of_its_log_and_the_fix(tmp_path: Path) -> None:
    done = run(f'. {SETUP}/lib.sh; step "a step" "the fix" bash -c "echo the cause; exit 7"; echo went on', tmp_path)
    assert done.returncode == 1
    assert "went on" not in done.stdout
    assert all(part in done.stderr for part in ["a step (exit 7)", "| the cause", "fix: the fix"])


def test_step_that_works_says_so_with_its_time_and_keeps_its_output_in_the_log(tmp_path: Path) -> None:
    done = run(f'. {SETUP}/lib.sh; step "a step" "the fix" echo some output', tmp_path)
    assert done.returncode == 0
    assert re.search(r"^setup: a step: done in \d+ s$", done.stdout, re.MULTILINE)
    assert "some output\n" not in done.stdout
    assert "some output\n" in (tmp_path / "setup.log").read_text()


def test_unknown_package_group_is_refused(tmp_path: Path) -> None:
    done = run(f"{SETUP}/packages.sh no-such-group", tmp_path)
    assert done.returncode == 1
    assert "no package group named 'no-such-group'" in done.stderr


def test_old_cargo_is_refused_with_the_version_that_is_needed(tmp_path: Path) -> None:
    old = tmp_path / "bin/cargo"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho cargo 1.63.0\n")
    old.chmod(0o755)
    done = run(f"{SETUP}/module.sh", tmp_path, path=f"{old.parent}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "cargo is 1.63.0" in done.stderr
    assert "rustup" in done.stderr


def test_stamp_is_true_for_the_same_value_only(tmp_path: Path) -> None:
    script = f"""
        . {SETUP}/lib.sh
        STAMPS={tmp_path}/stamps
        stamped x 1 && exit 1
        stamp x 1
        stamped x 1 && ! stamped x 2
    """
    assert run(script, tmp_path).returncode == 0
