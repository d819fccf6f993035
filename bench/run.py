"""`make bench`: the same TLS 1.3 work through nginx, HAProxy, Envoy and ours, in turns; CPU time is the figure.

docs/bench.md says what is measured, every setting of every side, and how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  (path set above)

from bench import client, cpu, machine, report, work  # noqa: E402
from bench.processes import NotReady  # noqa: E402
from bench.sides import backend, envoy, haproxy, nginx, ours  # noqa: E402
from bench.sides.base import Running, Setup  # noqa: E402
from bench.work import SCENARIOS, Scenario, WrongAnswer  # noqa: E402

Start = Callable[[Setup], contextlib.AbstractContextManager[Running]]
SIDES: dict[str, Start] = {
    "nginx": nginx.start,
    "haproxy": haproxy.start,
    "envoy": envoy.start,
    ours.SHM: functools.partial(ours.start, name=ours.SHM),
    ours.TCP: functools.partial(ours.start, name=ours.TCP),
}
QUICK_SIDES = ("nginx", "haproxy", ours.SHM, ours.TCP)
RESULTS = ROOT / "bench/results"
SETTLE_S = 0.2
QUIET_WAIT_S = 30.0
TROUBLES = (WrongAnswer, NotReady, client.Stuck, cpu.ProcessGone, OSError)
"""What ends one side in one scenario, and no more than that."""


def say(text: str) -> None:
    """A progress line."""
    print(f"bench: {text}", flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line to values; ROUNDS, SECONDS, SIDES, SCENARIOS and QUICK of the environment are the defaults."""
    quick = (os.environ.get("QUICK") or "0") not in ("", "0")
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description="The same TLS 1.3 work through nginx, HAProxy, Envoy and ours.")
    parser.add_argument("--rounds", type=int, default=_number("ROUNDS", 3 if quick else 5))
    parser.add_argument("--seconds", type=float, default=_number("SECONDS", 1 if quick else 3), help="of one run")
    parser.add_argument("--sides", nargs="+", default=_names("SIDES", QUICK_SIDES if quick else tuple(SIDES)))
    parser.add_argument("--scenarios", nargs="+", default=_names("SCENARIOS", work.QUICK if quick else tuple(names)))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="proxy threads of every side")
    parser.add_argument("--certificates", type=Path, default=ROOT / "certs/dev", help="server.pem, server.key, ca.pem")
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args(arguments)
    for kind, known, given in (("side", SIDES, wanted.sides), ("scenario", names, wanted.scenarios)):
        if strangers := [name for name in given if name not in known]:
            parser.error(f"no {kind} named {', '.join(strangers)}: there are {', '.join(known)}")
    return wanted


def _number(name: str, default: float) -> float:
    value = os.environ.get(name)
    number = float(value) if value else default
    return int(number) if number == int(number) else number


def _names(name: str, default: tuple[str, ...]) -> list[str]:
    return (os.environ.get(name) or "").replace(",", " ").split() or list(default)


class Turn:
    """One side in one scenario: its load client, and what it has shown."""

    def __init__(self, side: Running, scenario: Scenario, load: client.Client) -> None:
        """`load` is ready."""
        self.side, self.scenario, self._load = side, scenario, load

    def round(self, number: int, seconds: float) -> report.Sample:
        """One run; raises one of TROUBLES."""
        time.sleep(SETTLE_S)
        busy, own = machine.busy_us(), cpu.read([os.getpid()])
        proxies, behind = cpu.read(self.side.proxies), cpu.read(self.side.behind)
        seen = self._load.go(seconds)
        used = cpu.used_us(proxies, cpu.read(self.side.proxies))
        used_behind = cpu.used_us(behind, cpu.read(self.side.behind))
        own_us = cpu.used_us(own, cpu.read([os.getpid()]))
        return report.Sample(
            scenario=self.scenario.name,
            side=self.side.name,
            round=number,
            unit=self.scenario.unit,
            cpu_us=used / seen.units,
            behind_us=used_behind / seen.units,
            units_per_s=seen.units / seen.seconds,
            p50_us=seen.p50_us,
            p99_us=seen.p99_us,
            others_percent=machine.others_percent(machine.busy_us() - busy, own_us, seen.seconds),
        )


class Bench:
    """All scenarios, one group after another. What fails is told, left out, and makes the exit status 1."""

    def __init__(self, wanted: argparse.Namespace, setup: Setup) -> None:
        """`setup` has its back ends running."""
        self.wanted, self.setup = wanted, setup
        self.samples: list[report.Sample] = []
        self.failures: list[str] = []

    def start(self, stack: contextlib.ExitStack) -> list[Running]:
        """The sides that come up and give the right answer."""
        sides = []
        for name in self.wanted.sides:
            with self.trouble(f"{name} does not start"):
                side = stack.enter_context(SIDES[name](self.setup))
                size = work.check_answer(side.port, self.setup.authority)
                say(f"{name}: right answer of {size} bytes; {side.version}")
                sides.append(side)
        return sides

    def run(self, sides: Sequence[Running], files_max: int) -> None:
        """Every wanted scenario: the rounds go A B C A B C, so that a slow disturbance hits all."""
        wanted = [s for s in SCENARIOS if s.name in self.wanted.scenarios]
        for group in groups(wanted):
            short = [s for s in group if s.files > files_max]
            if short:
                name, files = short[0].name, short[0].files
                say(f"{name}: left out: {files:,} descriptors needed, {files_max:,} allowed (ulimit -n)")
                continue
            with contextlib.ExitStack() as stack:
                self._rounds(list(self._turns(group, sides, stack)))
        for side in sides:
            with self.trouble(f"{side.name} after the rounds"):
                work.check_answer(side.port, self.setup.authority)

    def _turns(
        self, group: Sequence[Scenario], sides: Sequence[Running], stack: contextlib.ExitStack
    ) -> Iterator[Turn]:
        for scenario in group:
            for side in self._sides_of(scenario, sides, stack):
                with self.trouble(f"{scenario.name} {side.name}"):
                    load = stack.enter_context(client.Client(self._command(scenario, side)))
                    say(f"{scenario.name} {side.name}: connected and warm in {load.ready():.1f} s")
                    yield Turn(side, scenario, load)

    def _sides_of(self, scenario: Scenario, sides: Sequence[Running], stack: contextlib.ExitStack) -> Iterator[Running]:
        if scenario.name.startswith("tenants"):
            if any(side.name == ours.SHM for side in sides):
                with self.trouble(f"{scenario.name} {ours.SHM}"):
                    yield stack.enter_context(ours.start(self.setup, tenants=scenario.tenants))
            return
        yield from sides
        if scenario.mode == "paced":
            yield backend.direct(self.setup)

    def _rounds(self, turns: list[Turn]) -> None:
        for number in range(1, self.wanted.rounds + 1):
            for turn in list(turns):
                what = f"{turn.scenario.name} round {number} {turn.side.name}"
                with self.trouble(what, functools.partial(turns.remove, turn)):
                    sample = turn.round(number, self.wanted.seconds)
                    self.samples.append(sample)
                    say(_line(what, sample))

    def _command(self, scenario: Scenario, side: Running) -> list[str]:
        folder = self.setup.directory
        body, keys = folder / f"{scenario.name}.json", folder / f"{scenario.name}.keys"
        body.write_bytes(work.body_of(scenario))
        keys.write_text("\n".join(work.keys(scenario.tenants)))
        files = {"body": body, "keys": keys} | ({} if side.plain else {"ca": self.setup.authority})
        port = side.events_port if scenario.mode == "stream" else side.port
        return [str(client.program()), *client.arguments(scenario, f"127.0.0.1:{port}", files)]

    @contextlib.contextmanager
    def trouble(self, what: str, then: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Keeps what goes wrong inside the block to itself, but not to the exit status."""
        try:
            yield
        except TROUBLES as error:
            self.failures.append(f"{what}: {error}")
            say(f"FAILED: {what}: {error}")
            then()


def _line(what: str, sample: report.Sample) -> str:
    busy = f"; others used {sample.others_percent:.0f} %" if sample.others_percent > machine.QUIET_PERCENT else ""
    return f"{what}: {sample.cpu_us:.1f} us CPU per {sample.unit}, {sample.units_per_s:,.0f}/s{busy}"


def groups(scenarios: Sequence[Scenario]) -> list[list[Scenario]]:
    """What takes turns: each scenario with its sides; those about tenants with each other, there is one side only."""
    tenants = [s for s in scenarios if s.name.startswith("tenants")]
    found = [[s] for s in scenarios if s not in tenants[1:]]
    return [tenants if group[0] in tenants else group for group in found]


def header(sides: Sequence[Running], wanted: argparse.Namespace, before_percent: float) -> dict[str, str]:
    """What the figures depend on."""
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "others before": f"{before_percent:.0f} % of all cores",
        "sides": ", ".join(dict.fromkeys(side.version for side in sides)),
        "client": "dpu-load (fastpath/benches), 1 thread",
        "work": f"TLS 1.3 {work.CIPHER}, X25519, ECDSA P-256; POST of {work.BODY_BYTES} bytes where not said otherwise",
        "rounds": f"{wanted.rounds} of {wanted.seconds:g} s, sides in turns, {wanted.workers} proxy threads a side",
    }


def prepare(stack: contextlib.ExitStack, wanted: argparse.Namespace) -> Setup:
    """The folder and the back ends; raises one of TROUBLES."""
    if not os.access(client.program(), os.X_OK):
        raise NotReady(f"the load client {client.program()} is not built: `make bench` does it")
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dpu-bench-")))
    backend_port, backend_pid = stack.enter_context(backend.start(directory))
    events_port, events_pid = stack.enter_context(backend.start_events(directory))
    return Setup(
        directory=directory,
        certificate=wanted.certificates / "server.pem",
        key=wanted.certificates / "server.key",
        authority=wanted.certificates / "ca.pem",
        workers=wanted.workers,
        backend_port=backend_port,
        backend_pid=backend_pid,
        events_port=events_port,
        events_pid=events_pid,
    )


def main(arguments: list[str]) -> int:
    """Runs everything, prints the table and the last block; 1 when a side does not do the work."""
    wanted = parse(arguments)
    # Ended from outside, it ends what it has started: SystemExit runs the blocks' ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subprocess.run([ROOT / "deploy/setup/packages.sh", "bench"], check=True)
    files_max, before_percent = machine.files_max(), machine.wait_until_quiet(QUIET_WAIT_S)
    if before_percent > machine.QUIET_PERCENT:
        say(f"busy machine (others use {before_percent:.0f} % of it): read the ratios, quote no microseconds")
    with contextlib.ExitStack() as stack:
        try:
            bench = Bench(wanted, prepare(stack, wanted))
        except TROUBLES as error:
            say(f"FAILED: {error}")
            return 1
        sides = bench.start(stack)
        about = header(sides, wanted, before_percent)
        try:
            bench.run(sides, files_max)
        finally:
            about["load average after"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
            _tell(bench, about, wanted.results)
    return 1 if bench.failures or not bench.samples else 0


def _tell(bench: Bench, about: dict[str, str], folder: Path) -> None:
    disturbed = sum(sample.others_percent > machine.QUIET_PERCENT for sample in bench.samples)
    about["disturbed runs"] = (
        f"{disturbed} of {len(bench.samples)} (others above {machine.QUIET_PERCENT:g} % of all cores)"
    )
    for name, value in about.items():
        print(f"{name}: {value}")
    report.show(bench.samples, Console(width=max(Console().width, 120)))
    for path in report.write(
        bench.samples, about, bench.failures, folder, time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    ):
        print(f"written: {path}")
    for failure in bench.failures:
        print(f"failed: {failure}")
    print("\n".join(report.last_block(bench.samples)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
