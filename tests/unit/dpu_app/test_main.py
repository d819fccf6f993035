"""`dpu-agent` as people and service managers meet it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dpu_app.__main__ import app
from dpu_app.fastpath.server import Server, Service
from tests.contract.fake_native import FakeNative
from tests.unit.dpu_app.samples import ROOT, TEXT, edited

DEV = ROOT / "deploy" / "config" / "dev.yaml"
OTHER = edited(("weight_percent: 90", "weight_percent: 80"), ("weight_percent: 10", "weight_percent: 20"))


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def test_check_of_a_good_file_shows_what_would_be_programmed() -> None:
    status, out = invoke("check", str(DEV))
    assert status == 0
    for word in ("127.0.0.1:8443", "stable", "9000", "canary", "gpt-4o-mini", "60 per 60 s", "w0, w1"):
        assert word in out


def test_check_of_a_bad_file_prints_a_problem_a_line_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(edited(("name: w1", "name: w0"), ("models: [chat]", "models: [talk]")))
    status, out = invoke("check", str(file))
    assert status == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == [f"{file}:12:14", f"{file}:24:7"]


def test_check_speaks_json(tmp_path: Path) -> None:
    status, out = invoke("check", str(DEV), "-o", "json")
    assert (status, json.loads(out)["valid"]) == (0, True)
    (tmp_path / "bad.yaml").write_text("a: 1")
    status, out = invoke("check", str(tmp_path / "bad.yaml"), "-o", "json")
    assert (status, json.loads(out)["valid"]) == (1, False)
    assert set(json.loads(out)["problems"][0]) == {"what", "fix", "path", "file", "line", "column"}


def test_schema_describes_every_part() -> None:
    status, out = invoke("schema")
    schema = json.loads(out)
    assert status == 0
    assert set(schema["required"]) == {"apiVersion", "listeners", "tenants", "models", "workers", "worker_key_file"}
    undescribed = [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, rule in part["properties"].items()
        if not rule.get("description")
    ]
    assert undescribed == []


def test_help_teaches_where_to_start() -> None:
    status, out = invoke("--help")
    assert status == 0
    assert "dpu-agent check deploy/config/dev.yaml" in out


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Running:
    """A started agent over a fast path server of this test."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.file = folder / "dpu.yaml"
        self.file.write_text(text)
        self.native = FakeNative()
        self.server = Server(str(folder / "fp.sock"), Service(self.native, on_drain=lambda _timeout_ms: None))
        self.log = (folder / "agent.log").open("w+")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        arguments = {
            "--config": self.file,
            "--fastpath-socket": self.folder / "fp.sock",
            "--state-dir": self.folder / "state",
            "--http": f"127.0.0.1:{self.port}",
        }
        flat = [str(word) for pair in arguments.items() for word in pair]
        return subprocess.Popen([sys.executable, "-m", "dpu_app", "run", *flat], cwd=ROOT, stderr=self.log)

    def fetch(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""

    def ready(self) -> dict[str, Any]:
        status, body = self.fetch("/readyz")
        return {"http": status, **json.loads(body or "{}")}

    def until(self, fact: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not fact():
            assert time.monotonic() < end, f"not so within 20 s; {self.ready()}; {self.logged()}"
            time.sleep(0.05)

    def logged(self) -> str:
        return (self.folder / "agent.log").read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.server.close()
        self.log.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, TEXT)
    yield running
    running.close()


def test_agent_programs_reloads_survives_and_stops(running: Running) -> None:
    running.until(lambda: running.ready()["http"] == 200)
    assert running.native.parsed().epoch == 1

    running.file.write_text(TEXT.replace("models: [chat]", "models: [talk]"))
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: "dpu_agent_config_errors_total 1.0" in running.fetch("/metrics")[1])
    assert running.ready()["config"].startswith(f"{running.file}:12:14: tenants[0].models[0]: there is no model 'talk'")
    assert running.native.parsed().epoch == 1

    running.file.write_text(OTHER)
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: running.native.parsed().epoch == 2)
    assert running.native.parsed().models[0].buckets.count(1) == 2000

    running.process.kill()
    running.process.wait()
    programmed = running.native.plan
    running.process = running.start()
    running.until(lambda: running.ready()["http"] == 200)
    assert running.native.plan == programmed

    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
    assert running.native.plan == programmed


def test_restarted_fast_path_gets_its_plan_again(running: Running) -> None:
    running.until(lambda: running.ready()["http"] == 200)
    programmed = running.native.plan
    running.native.plan = None
    running.until(lambda: running.native.plan == programmed)


def test_refusal_is_shown_with_the_place_in_the_file(running: Running) -> None:
    running.until(lambda: running.ready()["http"] == 200)
    running.native.problems = [("listeners[0].certificates[0].private_key_file", "does not fit", "make another")]
    running.file.write_text(OTHER)
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: running.ready()["http"] == 503)
    running.until(lambda: "does not fit" in running.ready()["reason"])
    assert running.ready()["reason"].startswith(f"{running.file}:8:9: listeners[0].certificates[0].private_key_file")
    assert running.native.parsed().epoch == 1


def test_second_agent_on_the_same_state_is_refused(running: Running) -> None:
    running.until(lambda: running.ready()["http"] == 200)
    assert running.start().wait(20) == 1
    assert "another agent (process" in running.logged()


def test_first_start_with_a_bad_file_exits_1_and_says_why(tmp_path: Path) -> None:
    running = Running(tmp_path, "apiVersion: dpu/v1\n")
    assert running.process.wait(20) == 1
    assert "'listeners' is missing" in running.logged()
    running.close()
