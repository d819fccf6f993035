"""Children of the local stack, ports and flags: on real processes and sockets."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.processes import Child, StackError
from deploy.local.settings import add_flags, settings_of

HEALTHY = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"


def child(run_dir: Path, *command: str, port: int = 9) -> Child:
    return Child("c", [sys.executable, *command], f"http://127.0.0.1:{port}", run_dir)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_child_is_ready_when_its_health_says_so_and_stops_gently(tmp_path: Path) -> None:
    port = free_port()
    made = child(tmp_path, "-c", HEALTHY, str(port), port=port)
    made.start()
    assert (tmp_path / "c.pid").read_text() == f"{made.pid}\n"
    assert os.getpgid(made.pid) == made.pid
    made.wait_for("/readyz", 20)
    assert made.stop(10) and made.ended() is not None and not (tmp_path / "c.pid").exists()


def test_child_that_dies_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    made = child(tmp_path, "-c", "raise SystemExit('no such device')")
    made.start()
    with pytest.raises(StackError, match=r"status 1(.|\n)*no such device"):
        made.wait_for("/readyz", 20)


def test_child_that_is_never_ready_is_an_error_with_the_reason(tmp_path: Path) -> None:
    made = child(tmp_path, "-c", "import time; time.sleep(60)", port=free_port())
    made.start()
    with pytest.raises(StackError, match="refused"):
        made.wait_for("/readyz", 0.3)
    made.stop(10)


BROKEN_OFF = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("on", flush=True)
while True:
    peer, _ = server.accept()
    peer.recv(1000)
    peer.sendall(b"HTTP/1.1 503 no\\r\\ncontent-length: 100\\r\\n\\r\\nhalf")
    peer.close()
"""


def test_health_answer_that_breaks_off_is_not_ready(tmp_path: Path) -> None:
    port = free_port()
    made = child(tmp_path, "-c", BROKEN_OFF, str(port), port=port)
    made.start()
    while "on" not in made.log.read_text():
        pass
    with pytest.raises(StackError, match="status 503"):
        made.wait_for("/readyz", 0.5)
    made.stop(10)


def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    made = child(tmp_path, "-c", STUBBORN)
    made.start()
    while "on" not in made.log.read_text():
        pass
    assert not made.stop(0.2) and made.ended() == -9


def test_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ports.taken("127.0.0.1", port)
        assert f"(pid {os.getpid()})" in ports.holder(port)
    assert not ports.taken("127.0.0.1", port)


def test_flag_wins_over_environment_and_environment_over_default(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, {"WORKERS": "3", "PORT": "9443", "RUN_DIR": str(tmp_path)}, engine="echo")
    settings = settings_of(parser.parse_args(["--port", "9444"]))
    assert (settings.engine, settings.workers, settings.port, settings.run_dir) == ("echo", 3, 9444, tmp_path)
