"""The virtual machine: Debian's kernel under emulation on this machine's own root file system, started by virtme-ng."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

RXE = "kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko"
"""Where a Debian kernel's soft-RoCE module lies; the running kernel may have no modules at all."""

_TERM_GRACE_S = 5.0


class NoKernel(RuntimeError):
    """No installed kernel has both an image and the soft-RoCE module."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What the machine is made of."""

    shared: Path
    """Folder of the host that is writable inside, at the same path; the rest of the root is read-only there."""
    memory: str = "2G"
    """Memory in QEMU's notation."""
    cpus: int = 2
    """Virtual processors."""
    kvm: bool = False
    """Use the processor's virtualisation. Off: a /dev/kvm that is there may still not work (nested machines)."""


def newest_kernel(boot: Path = Path("/boot"), modules: Path = Path("/lib/modules")) -> str:
    """Release name of the newest installed kernel with soft-RoCE; raises NoKernel."""
    found = [
        release
        for image in boot.glob("vmlinuz-*")
        if (modules / (release := image.name.removeprefix("vmlinuz-")) / RXE).is_file()
    ]
    if not found:
        raise NoKernel(f"no kernel under {boot} has {RXE} under {modules}: install linux-image-amd64")
    return max(found, key=lambda release: [int(part) for part in re.findall(r"\d+", release)])


def command_line(options: MachineOptions, kernel: str, command: list[str]) -> list[str]:
    """The virtme-ng call that boots `kernel` and runs `command` in it; its exit status is the command's."""
    vng = [sys.executable, str(Path(sys.executable).parent / "vng"), "--run", kernel]
    size = ["--disable-microvm", "--memory", options.memory, "--cpus", str(options.cpus)]
    slow = [] if options.kvm else ["--disable-kvm"]
    return [*vng, *size, *slow, "--rwdir", str(options.shared), "--", *command]


class Machine:
    """One run. Iterate for the lines that come out of it; `status` is set when the iteration is over."""

    def __init__(self, arguments: list[str], *, timeout_s: float) -> None:
        """`arguments` as from `command_line`; the machine is ended after `timeout_s`, whatever it does."""
        self.status: int | None = None
        self.timed_out = False
        self._arguments = arguments
        self._timeout_s = timeout_s

    def lines(self) -> Iterator[str]:
        """Output of the command and of the kernel, line by line; ends the machine when its time is over."""
        # A session of its own, so that QEMU below virtme-ng is ended with it and by its group's number only.
        child = subprocess.Popen(
            self._arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=_environment(),
        )
        try:
            yield from self._read(child)
            self.status = child.wait()
        finally:
            _end_group(child)

    def _read(self, child: subprocess.Popen[str]) -> Iterator[str]:
        assert child.stdout is not None  # asked for above
        with _Alarm(self._timeout_s, child) as alarm:
            for line in child.stdout:
                yield line.rstrip("\r\n")
        self.timed_out = alarm.rang


def _environment() -> dict[str, str]:
    """virtme-ng starts its own virtme-run by name, which lies beside this interpreter."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


class _Alarm:
    """Ends the group of `child` after `seconds`; a blocked read then sees the end of its pipe."""

    def __init__(self, seconds: float, child: subprocess.Popen[str]) -> None:
        self.rang = False
        self._seconds = seconds
        self._child = child

    def __enter__(self) -> _Alarm:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _ring(self, *_: object) -> None:
        self.rang = True
        _end_group(self._child)


def _end_group(child: subprocess.Popen[str]) -> None:
    """SIGTERM, then SIGKILL, to the machine's own process group; nothing when it is already gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + _TERM_GRACE_S
        while time.monotonic() < until and child.poll() is None:
            time.sleep(0.1)
