"""nginx from Debian, as proxy in front of the back end."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from bench.processes import free_port, running
from bench.sides.base import Running, Setup, nginx_user, render


def program() -> str:
    """Path of nginx, which Debian keeps out of an ordinary user's search path."""
    return shutil.which("nginx") or "/usr/sbin/nginx"


def version() -> str:
    """For example `nginx/1.22.1`."""
    told = subprocess.run([program(), "-v"], check=True, stderr=subprocess.PIPE, text=True).stderr
    return told.strip().removeprefix("nginx version: ")


@contextlib.contextmanager
def start(setup: Setup) -> Iterator[Running]:
    """Runs it until the block ends."""
    port, events_port = free_port(), free_port()
    values: dict[str, object] = {
        "USER": nginx_user(),
        "WORKERS": setup.workers,
        "DIR": setup.directory,
        "BACKEND": setup.backend_port,
        "EVENTS": setup.events_port,
        "PORT": port,
        "EVENTSPORT": events_port,
        "CERTIFICATE": setup.certificate,
        "KEY": setup.key,
    }
    config = render("nginx.conf", setup.directory / "nginx.conf", values)
    early = ["-e", str(setup.directory / "nginx.early.log"), "-p", str(setup.directory)]
    with running([program(), *early, "-c", str(config)], setup.directory / "nginx.log", port) as child:
        yield Running(
            name="nginx",
            port=port,
            events_port=events_port,
            proxies=(child.pid,),
            behind=setup.behind,
            version=version(),
        )
