"""HAProxy from Debian, as proxy in front of the back end."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from bench.processes import free_port, running
from bench.sides.base import Running, Setup, render


def program() -> str:
    """Path of HAProxy, which Debian keeps out of an ordinary user's search path."""
    return shutil.which("haproxy") or "/usr/sbin/haproxy"


def version() -> str:
    """For example `HAProxy 2.6.12-1+deb12u4`."""
    told = subprocess.run([program(), "-v"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return told.split(" 20", 1)[0].replace("version ", "")


@contextlib.contextmanager
def start(setup: Setup) -> Iterator[Running]:
    """Runs it until the block ends."""
    port, events_port = free_port(), free_port()
    bundle = setup.directory / "haproxy.pem"
    bundle.touch(mode=0o600)
    bundle.write_bytes(setup.certificate.read_bytes() + setup.key.read_bytes())
    values: dict[str, object] = {
        "WORKERS": setup.workers,
        "PORT": port,
        "BUNDLE": bundle,
        "BACKEND": setup.backend_port,
        "EVENTS": setup.events_port,
        "EVENTSPORT": events_port,
    }
    config = render("haproxy.cfg", setup.directory / "haproxy.cfg", values)
    with running([program(), "-f", str(config)], setup.directory / "haproxy.log", port) as child:
        yield Running(
            name="haproxy",
            port=port,
            events_port=events_port,
            proxies=(child.pid,),
            behind=setup.behind,
            version=version(),
        )
