"""`make bench`: the same TLS 1.3 work through nginx, HAProxy and ours, in turns; CPU per request is the figure.

docs/bench.md says what is measured, every setting of every side, and how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  (path set above)

from bench import cpu, load, report  # noqa: E402
from bench.processes import NotReady  # noqa: E402
from bench.sides import backend, haproxy, nginx, ours  # noqa: E402
from bench.sides.base import Running, Setup  # noqa: E402
from bench.work import BODY_BYTES, CIPHER, DEFAULT_SCENARIOS, SCENARIOS, Scenario, WrongAnswer, chat_body, check_answer  # noqa: E402

SIDES: dict[str, Callable[[Setup], contextlib.AbstractContextManager[Running]]] = {
    "nginx": nginx.start,
    "haproxy": haproxy.start,
    report.OURS: ours.start,
}
RESULTS = ROOT / "bench/results"
SETTLE_S = 0.2


def say(text: str) -> None:
    """A progress line."""
    print(f"bench: {text}", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line to values; ROUNDS and SECONDS of the environment are the defaults."""
    parser = argparse.ArgumentParser(description="The same TLS 1.3 work through nginx, HAProxy and ours.")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 3))
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS") or 5), help="of one run")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--scenarios", nargs="+", choices=[s.name for s in SCENARIOS], default=DEFAULT_SCENARIOS)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="proxy threads of every side")
    parser.add_argument("--certificates", type=Path, default=ROOT / "certs/dev", help="server.pem, server.key, ca.pem")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def measure(side: Running, scenario: Scenario, number: int, seconds: float, body: Path) -> report.Sample:
    """One run of one side; the client's connections and handshakes are part of it."""
    time.sleep(SETTLE_S)
    proxies, behind = cpu.read(side.proxies), cpu.read(side.behind)
    seen = load.run(side.port, scenario, seconds, body, body.with_name("h2load.log"))
    used = cpu.used_us(proxies, cpu.read(side.proxies))
    used_behind = cpu.used_us(behind, cpu.read(side.behind))
    return report.Sample(
        scenario=scenario.name,
        side=side.name,
        round=number,
        cpu_us=used / seen.requests,
        behind_us=used_behind / seen.requests,
        requests_per_s=seen.requests_per_s,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
    )


def measure_again_if_stuck(side: Running, scenario: Scenario, number: int, seconds: float, body: Path) -> report.Sample:
    """On a crowded machine h2load hangs now and then, as when its time is over before a handshake is: one more try."""
    try:
        return measure(side, scenario, number, seconds, body)
    except load.Stuck as error:
        say(f"{scenario.name} round {number} {side.name}: {error}; once more")
        return measure(side, scenario, number, seconds, body)


def header(sides: list[Running], wanted: argparse.Namespace) -> dict[str, str]:
    """What the figures depend on."""
    tool = subprocess.run(["h2load", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "sides": ", ".join(side.version for side in sides),
        "client": f"{tool}, 1 thread",
        "work": f"POST of {BODY_BYTES} bytes, TLS 1.3 {CIPHER}, X25519, ECDSA P-256, kept connections",
        "rounds": f"{wanted.rounds} of {wanted.seconds:g} s, sides in turns, {wanted.workers} proxy threads a side",
    }


def warn_if_busy() -> None:
    """CPU time per request holds cold caches and shared cores too: on a busy machine it is no figure to quote."""
    cores, waiting = os.cpu_count() or 1, os.getloadavg()[0]
    if waiting > 0.5 * cores:
        say(f"busy machine (load average {waiting:.1f} on {cores} cores): read the ratios, quote no microseconds")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def bench(sides: list[Running], wanted: argparse.Namespace, directory: Path) -> list[report.Sample]:
    """All rounds: A B C A B C for every scenario."""
    body = directory / "chat.json"
    body.write_bytes(chat_body())
    authority = wanted.certificates / "ca.pem"
    for side in sides:
        say(f"{side.name}: right answer of {check_answer(side.port, authority)} bytes; {side.version}")
    samples = []
    scenarios = [s for s in SCENARIOS if s.name in wanted.scenarios]
    for scenario in scenarios:
        for side in sides:
            load.warm_up(side.port, scenario, body)
        for number in range(1, wanted.rounds + 1):
            for side in sides:
                sample = measure_again_if_stuck(side, scenario, number, wanted.seconds, body)
                samples.append(sample)
                say(
                    f"{scenario.name} round {number} {side.name}: {sample.cpu_us:.1f} us CPU a request, "
                    f"{sample.requests_per_s:,.0f} requests/s"
                )
    for side in sides:
        check_answer(side.port, authority)
    return samples


def main(arguments: list[str]) -> int:
    """Runs everything, prints the table and the last block; 1 when a side does not do the work."""
    wanted = parse(arguments)
    # Ended from outside, it ends what it has started: SystemExit runs the blocks' ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run([ROOT / "deploy/setup/packages.sh", "bench"], check=True)
    warn_if_busy()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dpu-bench-")))
        backend_port, backend_pid = stack.enter_context(backend.start(directory))
        setup = Setup(
            directory=directory,
            certificate=wanted.certificates / "server.pem",
            key=wanted.certificates / "server.key",
            authority=wanted.certificates / "ca.pem",
            workers=wanted.workers,
            backend_port=backend_port,
            backend_pid=backend_pid,
        )
        try:
            sides = [stack.enter_context(SIDES[name](setup)) for name in wanted.sides]
            about = header(sides, wanted)
            samples = bench(sides, wanted, directory)
        except (WrongAnswer, NotReady, load.Stuck, cpu.ProcessGone) as error:
            say(f"failed: {error}")
            return 1
    about["load average after"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    _tell(samples, about, wanted.results)
    return 0


def _tell(samples: list[report.Sample], about: dict[str, str], folder: Path) -> None:
    for name, value in about.items():
        print(f"{name}: {value}")
    report.show(samples, Console(width=max(Console().width, 120)))
    for path in report.write(samples, about, folder, time.strftime("%Y%m%d-%H%M%S", time.gmtime())):
        print(f"written: {path}")
    print("\n".join(report.last_block(samples)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
