"""The plain HTTP back ends behind nginx, HAProxy and Envoy: a second nginx that answers every request at once, and
the load client's own server of event streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import client
from bench.processes import free_port, running
from bench.sides.base import Running, Setup, nginx_user, render
from bench.sides.nginx import program
from bench.work import answer_body


@contextlib.contextmanager
def start(directory: Path) -> Iterator[tuple[int, int]]:
    """Runs the one for whole answers until the block ends; yields its port and its pid."""
    port = free_port()
    own = directory / "backend"
    own.mkdir()
    values: dict[str, object] = {"USER": nginx_user(), "DIR": own, "PORT": port, "ANSWER": answer_body().decode()}
    config = render("backend.conf", own / "backend.conf", values)
    arguments = [program(), "-e", str(own / "early.log"), "-p", str(own), "-c", str(config)]
    with running(arguments, own / "backend.log", port) as child:
        yield port, child.pid


@contextlib.contextmanager
def start_events(directory: Path) -> Iterator[tuple[int, int]]:
    """The same for event streams."""
    port = free_port()
    command = [str(client.program()), "backend", "--address", f"127.0.0.1:{port}"]
    with running(command, directory / "events.log", port) as child:
        yield port, child.pid


def direct(setup: Setup) -> Running:
    """The back end without a proxy and without TLS: what the latency of the others is compared with."""
    return Running(
        name="direct",
        port=setup.backend_port,
        events_port=setup.events_port,
        proxies=(setup.backend_pid,),
        behind=(),
        version="the back end itself, plain",
        plain=True,
    )
