"""What the local stack is told: flags, or the environment, or the documented ports."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("llama", "echo", "openai")
TRANSPORTS = ("auto", "shm", "tcp", "rc")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run the stack."""

    engine: str = "llama"
    workers: int = 2
    config: Path = ROOT / "deploy/config/dev.yaml"
    run_dir: Path = ROOT / ".run"
    port: int = 0
    """Data port; 0: what the configuration says."""
    health_port: int = 9464
    """Fast path; the agent has the next one, then the workers."""
    worker_port: int = 0
    """UCX listener of the first worker, the others follow; 0: what the configuration says."""
    transport: str = "auto"
    threads: int = 0
    """Threads of the fast path; 0: one a core."""
    slots: int = 0
    """Requests at once per worker; 0: the engine's default."""
    openai_url: str = ""
    openai_model: str = ""
    """The server's name of the model; empty: the name in the configuration."""
    drain_s: float = 12.0
    """From SIGTERM to KILL."""
    packet: str = "0"
    """Three namespaces with the packet stage in front: 1, 0, or auto, which is 1 where this machine can."""


# (field, environment, metavar, help); numbers and paths by the type of the default.
FLAGS = (
    ("engine", "ENGINE", None, "who answers: llama (a real 135M model), echo, openai"),
    ("workers", "WORKERS", "N", "how many workers"),
    ("config", "CONFIG", "FILE", "desired state"),
    ("run_dir", "RUN_DIR", "DIR", "pid files, sockets, logs, journal, state"),
    ("port", "PORT", "PORT", "data port; 0: what the configuration says"),
    ("health_port", "HEALTH_PORT", "PORT", "health of the fast path; agent and workers follow"),
    ("worker_port", "WORKER_PORT", "PORT", "UCX listener of the first worker; 0: what the configuration says"),
    ("transport", "TRANSPORT", None, "what UCX may use"),
    ("threads", "THREADS", "N", "threads of the fast path; 0: one a core"),
    ("slots", "SLOTS", "N", "requests at once per worker; 0: the engine's default"),
    ("openai_url", "OPENAI_URL", "URL", "engine openai: base URL of the server, with /v1"),
    ("openai_model", "OPENAI_MODEL", "NAME", "engine openai: the server's name of the model"),
    ("drain_s", "DRAIN_S", "SECONDS", "from SIGTERM to KILL"),
    ("packet", "PACKET", None, "three namespaces with the packet stage in front of TLS; auto: where this machine can"),
)
CHOICES = {"engine": ENGINES, "transport": TRANSPORTS, "packet": ("0", "1", "auto")}
BARE: dict[str, dict[str, Any]] = {"packet": {"nargs": "?", "const": "1"}}
"""Flags that mean something without a value too."""


def add_flags(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ, **defaults: object) -> None:
    """Adds a flag for every setting; the environment is the default, `defaults` the default of that."""
    for name, variable, metavar, text in FLAGS:
        default = defaults.get(name, getattr(Settings(), name))
        kind = type(getattr(Settings(), name))
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=Path if issubclass(kind, Path) else kind,
            default=environment.get(variable) or str(default),  # a string default goes through `type` too
            choices=CHOICES.get(name),
            metavar=metavar,
            help=f"{text} [{variable}] (%(default)s)".replace(" ()", ""),
            **BARE.get(name, {}),
        )


def settings_of(given: argparse.Namespace) -> Settings:
    """The parsed flags as one value; paths become absolute."""
    values: dict[str, Any] = {name: getattr(given, name) for name, *_ in FLAGS}
    for name in ("config", "run_dir"):
        values[name] = values[name].resolve()
    return Settings(**values)
