"""What the sides share: how they are started, and how their configuration files are filled in."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

CONFIG = Path(__file__).resolve().parent.parent / "config"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """Equal for all sides."""

    directory: Path
    """Temporary folder for rendered configuration, logs and sockets."""
    certificate: Path
    key: Path
    authority: Path
    """Server certificate with its key, and the CA that signed it; the same for every side."""
    workers: int
    """Worker processes or threads that a side may use for its proxy."""
    backend_port: int
    backend_pid: int
    """The plain HTTP back end behind nginx, HAProxy and Envoy, for whole answers."""
    events_port: int
    events_pid: int
    """The one for event streams."""

    @property
    def behind(self) -> tuple[int, int]:
        """What stands behind a proxy that is not ours."""
        return (self.backend_pid, self.events_pid)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """A side that is up."""

    name: str
    port: int
    """TLS port on the loopback."""
    events_port: int
    """The same for event streams: proxies with one back end for each kind have one port for each kind."""
    proxies: tuple[int, ...]
    """Roots of the process trees whose CPU time is the figure."""
    behind: tuple[int, ...]
    """Roots of the process trees behind the proxy: shown, not counted."""
    version: str
    plain: bool = False
    """No TLS: the back end itself, to compare with."""


def render(template: str, target: Path, values: dict[str, object]) -> Path:
    """Fills in @NAME@ of a file in bench/config; a name without a value, or a value without a place, is a KeyError."""
    text = (CONFIG / template).read_text()
    wanted = set(re.findall(r"@([A-Z]+)@", text)) - {"NAME"}
    if wanted != values.keys():
        raise KeyError(f"{template}: {sorted(wanted ^ values.keys())}")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    target.write_text(text)
    target.chmod(0o600)
    return target


def nginx_user() -> str:
    """nginx's `user` line: as root its workers would change to an account that may not enter the temporary folder."""
    return "user root;" if os.geteuid() == 0 else "# user: as started"
