"""`make testbed`: boots a kernel with soft-RoCE under emulation and runs scenarios over real RDMA verbs in it.

Nothing of the host is changed but `deploy/testbed/out` (logs) and the packages that it installs. See docs/testbed.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from deploy.testbed.machine import Machine, MachineOptions, NoKernel, command_line, newest_kernel  # noqa: E402  (path set above)

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
VIRTME = "virtme-ng==1.42"
EXAMPLE = Path("/usr/share/doc/libucx-dev/examples/ucp_client_server.c")
SCENARIOS = ("smoke", "frames", "contract", "chat")


def say(text: str) -> None:
    """A progress line."""
    print(f"testbed: {text}", flush=True)


def install() -> None:
    """Debian packages and virtme-ng, only what is missing."""
    # No initial RAM disk for the kernel: virtme-ng makes its own, and Debian's takes a minute to build.
    environment = {**os.environ, "INITRD": "No"}
    subprocess.run([ROOT / "deploy/setup/packages.sh", "build", "testbed"], check=True, env=environment)
    if importlib.util.find_spec("virtme_ng") is None:
        say(f"installing {VIRTME}")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", VIRTME], check=True)


def build_example() -> None:
    """UCX's own client/server example, from Debian's libucx-dev: an oracle that is not ours."""
    sources = OUT / "example"
    sources.mkdir(parents=True, exist_ok=True)
    for name in ("ucp_client_server.c", "hello_world_util.h", "ucp_util.h"):
        packed = EXAMPLE.with_name(name + ".gz")
        if packed.exists():
            (sources / name).write_bytes(subprocess.run(["zcat", packed], check=True, stdout=subprocess.PIPE).stdout)
        else:
            shutil.copy(EXAMPLE.with_name(name), sources / name)
    program = OUT / "ucp_client_server"
    subprocess.run(["cc", "-O2", "-o", program, sources / EXAMPLE.name, "-lucp", "-lucs"], check=True)


def build_programs() -> dict[str, Path]:
    """Our own UCX example and the transport contract suite, each by the variable that names it inside."""
    return {
        "FRAME_PING": cargo("build", "--example", "frame_ping"),
        "CONTRACT": cargo("test", "--no-run", "--test", "contract"),
    }


def cargo(verb: str, *what: str) -> Path:
    """Builds one program of dpu-ucx, in the profile of the module; the workspace's folder has what it is made from."""
    profile = [] if os.environ.get("PROFILE", "release") == "dev" else ["--release"]
    command = ["cargo", verb, *profile, "--locked", "--quiet", "-p", "dpu-ucx", *what, "--message-format=json"]
    told = subprocess.run(command, check=True, cwd=ROOT / "fastpath", stdout=subprocess.PIPE, text=True).stdout
    programs = [found for line in told.splitlines() if (found := json.loads(line).get("executable"))]
    return Path(programs[-1])


def guest_command(scenarios: list[str], programs: dict[str, Path]) -> list[str]:
    """What runs inside: the devices, then the scenarios one after another."""
    scripts = [HERE / "guest" / f"{name}.sh" if "/" not in name else Path(name).resolve() for name in scenarios]
    boot = ["bash", str(HERE / "guest/boot.sh"), str(OUT), sys.executable]
    return ["env", *(f"{name}={path}" for name, path in programs.items()), *boot, *(str(script) for script in scripts)]


def table(facts: dict[str, str]) -> str:
    """The facts as rows: which scenario, what, how much."""
    rows = [(*key.partition("_")[::2], value) for key, value in facts.items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)] if rows else [0, 0]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {value}" for a, b, value in rows)


def run_machine(machine: Machine) -> tuple[dict[str, str], str]:
    """Shows the machine's lines; returns its facts and what went wrong, "" for nothing."""
    facts: dict[str, str] = {}
    wrong = ""
    with (OUT / "machine.log").open("w") as log:
        for line in machine.lines():
            log.write(line + "\n")
            if line.startswith("fact ") and "=" in line:
                key, value = line.removeprefix("fact ").split("=", 1)
                facts[key] = value
                continue
            if line.startswith("fail "):
                wrong = line.removeprefix("fail ")
            print(f"  vm | {line}", flush=True)
    if machine.timed_out:
        wrong = "the time is over"
    elif machine.status != 0 and not wrong:
        wrong = f"exit status {machine.status}"
    return facts, wrong


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line to values."""
    parser = argparse.ArgumentParser(description="Runs scenarios over real RDMA verbs in a virtual machine.")
    parser.add_argument("scenario", nargs="*", help=f"{', '.join(SCENARIOS)}, or the path of a script; default: all")
    parser.add_argument("--timeout-s", type=float, default=1200.0, help="bound of the machine's life (%(default)s)")
    parser.add_argument("--memory", default="2G", help="of the machine (%(default)s)")
    parser.add_argument("--cpus", type=int, default=2, help="of the machine (%(default)s)")
    parser.add_argument("--kvm", action="store_true", help="hardware virtualisation instead of emulation")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs the scenarios, prints their facts; 0 when all went well."""
    wanted = parse(arguments)
    # Ended from outside, it ends the machine: SystemExit runs the blocks' ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    OUT.mkdir(exist_ok=True)
    install()
    build_example()
    command = guest_command(wanted.scenario or list(SCENARIOS), build_programs())
    options = MachineOptions(shared=OUT, memory=wanted.memory, cpus=wanted.cpus, kvm=wanted.kvm)
    try:
        machine = Machine(command_line(options, newest_kernel(), command), timeout_s=wanted.timeout_s)
    except NoKernel as error:
        say(f"failed: {error}")
        return 1
    say(f"booting ({'KVM' if wanted.kvm else 'emulation: half a minute'}), at most {wanted.timeout_s:.0f} s in all")
    began = time.monotonic()
    facts, wrong = run_machine(machine)
    print(table(facts))
    outcome = f"failed: {wrong}" if wrong else "ok"
    say(f"{outcome} after {time.monotonic() - began:.0f} s; logs in {OUT.relative_to(ROOT)}/")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
