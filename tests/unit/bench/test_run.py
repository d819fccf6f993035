"""bench.run: what is run by default, and that one side's failure costs no other its figures."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import client, run, work
from bench.processes import NotReady
from bench.report import Sample
from bench.sides.base import Running, Setup

NAMES = [scenario.name for scenario in work.SCENARIOS]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUNDS", "SECONDS", "SIDES", "SCENARIOS", "QUICK"):
        monkeypatch.delenv(name, raising=False)


def test_default_is_everything_in_five_rounds() -> None:
    wanted = run.parse([])
    assert (wanted.rounds, wanted.sides, wanted.scenarios) == (5, list(run.SIDES), NAMES)


def test_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ROUNDS", "2"), ("SECONDS", "0.5"), ("SIDES", "nginx, envoy"), ("SCENARIOS", "h1_c1")):
        monkeypatch.setenv(name, value)
    wanted = run.parse([])
    assert (wanted.rounds, wanted.seconds, wanted.sides, wanted.scenarios) == (2, 0.5, ["nginx", "envoy"], ["h1_c1"])


def test_quick_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUICK", "1")
    wanted = run.parse([])
    assert (wanted.rounds, wanted.seconds, tuple(wanted.scenarios)) == (3, 1, work.QUICK)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--sides", "apache"], ["--scenarios", "h3"]):
        with pytest.raises(SystemExit):
            run.parse(arguments)
    assert "no scenario named h3" in capsys.readouterr().err


def test_default_run_measures_for_less_than_twenty_minutes() -> None:
    wanted = run.parse([])
    turns = sum(1 if name.startswith("tenants") else len(wanted.sides) for name in wanted.scenarios)
    assert (turns + 1) * wanted.rounds * (wanted.seconds + run.SETTLE_S) < 20 * 60


def test_tenants_take_turns_with_each_other() -> None:
    grouped = [[scenario.name for scenario in group] for group in run.groups(work.SCENARIOS)]
    assert ["tenants_1", "tenants_100", "tenants_10000"] in grouped
    assert [name for group in grouped for name in group] == NAMES
    assert grouped[-1] == ["h1_c10000"]


def running(name: str) -> Running:
    return Running(name=name, port=1, events_port=1, proxies=(), behind=(), version=name)


class Scripted:
    """A load client that fails in its second round where it is told to."""

    def __init__(self, command: list[str]) -> None:
        self._rounds, self._bad = 0, command[0] == "bad"

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ready(self) -> float:
        return 0.0

    def go(self, seconds: float) -> client.Load:
        self._rounds += 1
        if self._bad and self._rounds == 2:
            raise client.Stuck("hangs")
        return client.Load(turns=1, units=1, seconds=seconds, p50_us=1, p99_us=1)


def bench_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run.Bench:
    @contextlib.contextmanager
    def start(setup: Setup, name: str) -> Iterator[Running]:
        if name == "absent":
            raise NotReady("not installed")
        yield running(name)

    sides = {name: lambda setup, name=name: start(setup, name) for name in ("good", "bad", "absent")}
    monkeypatch.setattr(run, "SIDES", sides)
    monkeypatch.setattr(run, "SETTLE_S", 0)
    monkeypatch.setattr(client, "Client", Scripted)
    monkeypatch.setattr(work, "check_answer", lambda *_: 351)
    monkeypatch.setattr(run.Bench, "_command", lambda self, scenario, side: [side.name])
    wanted = argparse.Namespace(rounds=3, seconds=0.001, sides=list(sides), scenarios=["h1_c1", "h1_c32"])
    setup = Setup(
        directory=tmp_path,
        certificate=tmp_path,
        key=tmp_path,
        authority=tmp_path,
        workers=1,
        backend_port=1,
        backend_pid=1,
        events_port=1,
        events_pid=1,
    )
    return run.Bench(wanted, setup)


def test_what_hangs_or_does_not_start_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(tmp_path, monkeypatch)
    with contextlib.ExitStack() as stack:
        bench.run(bench.start(stack), files_max=20_000)

    def rounds(samples: list[Sample], side: str, scenario: str) -> list[int]:
        return [one.round for one in samples if (one.side, one.scenario) == (side, scenario)]

    for scenario in ("h1_c1", "h1_c32"):
        assert rounds(bench.samples, "good", scenario) == [1, 2, 3]
        assert rounds(bench.samples, "bad", scenario) == [1]
    assert bench.failures == [
        "absent does not start: not installed",
        "h1_c1 round 2 bad: hangs",
        "h1_c32 round 2 bad: hangs",
    ]


def test_scenario_without_enough_descriptors_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = bench_of(tmp_path, monkeypatch)
    with contextlib.ExitStack() as stack:
        bench.run(bench.start(stack), files_max=300)
    assert {one.scenario for one in bench.samples} == {"h1_c1"}
    assert "h1_c32: left out" in capsys.readouterr().out
