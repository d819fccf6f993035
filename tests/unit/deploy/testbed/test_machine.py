"""deploy.testbed.machine: the kernel that is chosen, the call that is made, and that no machine outlives its bound."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploy.testbed.machine import RXE, Machine, MachineOptions, NoKernel, command_line, newest_kernel


def installed(folder: Path, release: str, *, soft_roce: bool = True) -> None:
    (folder / f"vmlinuz-{release}").touch()
    module = folder / "modules" / release / RXE
    module.parent.mkdir(parents=True)
    if soft_roce:
        module.touch()


def ended(pid: int, within_s: float = 5.0) -> bool:
    """Whether the process stops running; one that nobody has reaped yet has stopped too."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_newest_kernel_with_soft_roce_is_taken(tmp_path: Path) -> None:
    installed(tmp_path, "6.1.0-9-amd64")
    installed(tmp_path, "6.1.0-56-amd64")
    installed(tmp_path, "6.12.1-cloud-amd64", soft_roce=False)
    assert newest_kernel(tmp_path, tmp_path / "modules") == "6.1.0-56-amd64"


def test_no_kernel_with_soft_roce_is_an_error_with_the_fix(tmp_path: Path) -> None:
    installed(tmp_path, "6.12.1-cloud-amd64", soft_roce=False)
    with pytest.raises(NoKernel, match="install linux-image-amd64"):
        newest_kernel(tmp_path, tmp_path / "modules")


@pytest.mark.parametrize(("kvm", "emulated"), [(False, True), (True, False)])
def test_emulation_is_the_default(kvm: bool, emulated: bool, tmp_path: Path) -> None:
    call = command_line(MachineOptions(shared=tmp_path, kvm=kvm), "6.1.0-56-amd64", ["true"])
    assert ("--disable-kvm" in call) is emulated
    assert call[-2:] == ["--", "true"]
    assert call[call.index("--rwdir") + 1] == str(tmp_path)


def test_lines_and_status_come_out() -> None:
    machine = Machine(["sh", "-c", "echo one; echo two >&2; exit 3"], timeout_s=20)
    assert list(machine.lines()) == ["one", "two"]
    assert (machine.status, machine.timed_out) == (3, False)


def test_machine_that_hangs_is_ended_with_all_its_processes() -> None:
    machine = Machine(["sh", "-c", "sleep 61 & echo $!; wait"], timeout_s=0.5)
    began = time.monotonic()
    (below,) = machine.lines()
    assert machine.timed_out
    assert time.monotonic() - began < 20
    assert ended(int(below))
