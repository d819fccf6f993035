"""The desired state that the stack runs: the file as it is, or one derived from it where flags differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from deploy.local.packet import add_packet
from deploy.local.processes import StackError
from deploy.local.settings import Settings


@dataclass(frozen=True)
class Effective:
    """What the agent will be given, and what the stack has to know of it."""

    path: Path
    changed: list[str]
    """What differs from the file that was asked for, for people; empty: it is that file."""
    host: str
    port: int
    workers: list[tuple[str, str]]
    """Name and HOST:PORT of each worker to start."""
    models: list[str]
    """The engine's names of the models."""
    worker_key: Path
    vips: list[str] = field(default_factory=list)
    """Addresses that the packet stage stands in front of."""


def derive(settings: Settings, uplink: str = "") -> Effective:
    """Reads the configuration; writes RUN_DIR/effective.yaml where flags ask for something else. Raises StackError.

    With an `uplink` the packet stage stands on that interface, and in front of the listeners.
    """
    yaml = YAML()
    try:
        document = yaml.load(settings.config)
        listener, folder = document["listeners"][0], settings.config.parent
        host, _, port = listener["address"].rpartition(":")
        changed = change_port(settings, listener, int(port)) + change_workers(settings, document)
        worker_key = (folder / document["worker_key_file"]).resolve()
        added = add_packet(document, uplink, settings.run_dir) if uplink else None
    except (OSError, KeyError, TypeError, IndexError, ValueError, YAMLError) as error:
        raise StackError(f"{settings.config}: {type(error).__name__}: {error}; see `dpu-agent check FILE`") from error
    changed += [added.what] if added else []
    path = settings.config
    if changed:
        path = settings.run_dir / "effective.yaml"
        make_absolute(document, folder)
        yaml.dump(document, path)
    workers = [(worker["name"], worker["address"]) for worker in document["workers"]]
    models = dict.fromkeys(
        arm.get("engine_model") or model["name"] for model in document["models"] for arm in model["arms"]
    )
    port_used = int(listener["address"].rpartition(":")[2])
    if added:
        return Effective(path, changed, added.host, added.port, workers, list(models), worker_key, added.vips)
    return Effective(path, changed, host.strip("[]"), port_used, workers, list(models), worker_key)


def change_port(settings: Settings, listener: dict[str, Any], port: int) -> list[str]:
    """Puts another data port into the listener."""
    if settings.port in (0, port):
        return []
    listener["address"] = f"{listener['address'].rpartition(':')[0]}:{settings.port}"
    return [f"listener on port {settings.port}"]


def change_workers(settings: Settings, document: dict[str, Any]) -> list[str]:
    """Makes the list of workers as long as asked, on the ports asked for; labels are copied from the first one."""
    listed = document["workers"]
    if len(listed) == settings.workers and not settings.worker_port:
        return []
    first = settings.worker_port or int(listed[0]["address"].rpartition(":")[2])
    labels = dict(listed[0].get("labels") or {})
    document["workers"] = [
        {"name": f"w{index}", "address": f"127.0.0.1:{first + index}", "labels": dict(labels)}
        for index in range(settings.workers)
    ]
    return [f"{settings.workers} worker{'s' * (settings.workers != 1)} from port {first}"]


def make_absolute(part: Any, folder: Path) -> None:
    """Names of files start at the folder of the file, and the derived one lies elsewhere."""
    for key, value in part.items() if isinstance(part, dict) else ():
        if isinstance(value, str) and str(key).endswith("_file"):
            part[key] = str((folder / value).resolve())
        if isinstance(value, list) and str(key).endswith("_files"):
            part[key] = [str((folder / name).resolve()) for name in value]
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        make_absolute(inner, folder)
