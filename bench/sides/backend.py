"""The plain HTTP back end behind nginx and HAProxy: a second nginx that answers every request at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.processes import free_port, running
from bench.sides.base import nginx_user, render
from bench.sides.nginx import program
from bench.work import answer_body


@contextlib.contextmanager
def start(directory: Path) -> Iterator[tuple[int, int]]:
    """Runs it until the block ends; yields its port and its pid."""
    port = free_port()
    own = directory / "backend"
    own.mkdir()
    values: dict[str, object] = {"USER": nginx_user(), "DIR": own, "PORT": port, "ANSWER": answer_body().decode()}
    config = render("backend.conf", own / "backend.conf", values)
    arguments = [program(), "-e", str(own / "early.log"), "-p", str(own), "-c", str(config)]
    with running(arguments, own / "backend.log", port) as child:
        yield port, child.pid
