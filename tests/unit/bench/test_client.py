"""bench.client: the talk with the load client, against programs that answer well, wrongly, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import client
from bench.work import SCENARIOS, WrongAnswer

READY = 'print(\'{"ready": 1, "seconds": 0.5}\', flush=True)\n'
ROUND = '{"turns": 2, "units": UNITS, "seconds": 1.0, "p50_us": 3, "p99_us": 4}'
SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}


def started(program: str) -> client.Client:
    return client.Client([sys.executable, "-c", program])


def echoing(line: str) -> str:
    return f"{READY}import sys\nfor asked in sys.stdin: print({line!r}, flush=True)\n"


def test_round_brings_what_the_client_saw() -> None:
    with started(echoing(ROUND.replace("UNITS", "7"))) as load:
        assert load.ready() == 0.5
        assert load.go(0.1) == client.Load(turns=2, units=7, seconds=1.0, p50_us=3, p99_us=4)


def test_fault_is_a_wrong_answer_with_its_words() -> None:
    with started('print(\'{"fault": "status 503"}\', flush=True)') as load:
        with pytest.raises(WrongAnswer, match="status 503"):
            load.ready()


def test_round_without_an_answer_is_a_wrong_answer() -> None:
    with started(echoing(ROUND.replace("UNITS", "0"))) as load:
        load.ready()
        with pytest.raises(WrongAnswer):
            load.go(0.1)


def test_client_that_ends_or_says_nothing_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READY_S", 0.1)
    for program in ("pass", "import sys; sys.stdin.read()"):
        with started(program) as load:
            with pytest.raises(client.Stuck):
                load.ready()


def test_command_line_says_what_the_scenario_is() -> None:
    files = {"body": Path("b"), "keys": Path("k")}

    def options(name: str) -> dict[str, str]:
        _, *words = client.arguments(SCENARIO[name], "127.0.0.1:1", files)
        return dict(zip(words[::2], words[1::2], strict=True))

    assert options("h1_c32")["--connections"] == "32"
    assert (options("h2_c8x8")["--protocol"], options("h2_c8x8")["--streams"]) == ("h2", "8")
    assert options("handshake_resumed")["--resumed"] == "true"
    assert options("paced")["--rate"] == "1000"
    assert options("sse_20ms")["--spread-us"] == "20000"
