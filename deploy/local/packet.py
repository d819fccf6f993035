"""What the packet stage adds to the desired state of the local stack, and whether this machine can run it."""

from __future__ import annotations

import copy
import importlib.util
import ipaddress
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from ruamel.yaml import YAML

from certs import authority, dev_ca
from certs.profiles import PROFILES, Profile
from deploy.local.namespaces import HOST_INNER, programs_missing
from deploy.local.processes import StackError
from deploy.local.settings import ROOT
from dpu_app.targets.packet.generation import BPFFS
from dpu_app.targets.xdp import FIX_BCC, FIX_HEADERS, HEADERS

FILE = ROOT / "deploy/config/packet.yaml"
CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
"""Numbers of linux/capability.h: namespaces and mounts, interfaces, programs and what the verifier asks of them."""


def missing() -> list[str]:
    """Why the packet stage cannot run here, each with its fix; empty: it can."""
    found = []
    if lacking := [name for bit, name in CAPABILITIES.items() if not effective_capabilities() >> bit & 1]:
        found.append(f"no {', '.join(lacking)}: run it as root")
    if not os.path.ismount(BPFFS):
        found.append(f"bpffs is not mounted: mount -t bpf bpf {BPFFS}")
    if not HEADERS.exists():
        found.append(f"no kernel headers under {HEADERS}: {FIX_HEADERS}")
    if importlib.util.find_spec("bcc") is None:
        found.append(f"BCC is missing: {FIX_BCC}")
    if programs := programs_missing():
        found.append(f"{' and '.join(programs)} missing: apt-get install iproute2 util-linux")
    return found or namespaces_refused()


def effective_capabilities() -> int:
    """Bits of what this process may do (proc(5))."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def namespaces_refused() -> list[str]:
    """A container may have every capability and still be refused a namespace: only trying tells."""
    done = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    return [f"no network namespace can be made ({done.stderr.strip()}): run it outside the container, or privileged"]


@dataclass(frozen=True)
class Added:
    """What the packet stage made of the desired state."""

    what: str
    """For people."""
    vips: list[str]
    """Addresses that the DPU answers for."""
    host: str
    port: int
    """The first TCP VIP: where clients connect."""


def add_packet(document: dict[str, Any], uplink: str, run_dir: Path) -> Added:
    """Puts the packet stage into a desired state.

    A `packet` section of the file's own is kept; only its interface is the run's. Raises StackError, KeyError.
    """
    section = document.setdefault("packet", YAML().load(FILE)["packet"])
    section["interface"] = uplink
    vips = list(dict.fromkeys(str(vip["address"]) for vip in section["vips"]))
    document["listeners"] = listeners(document["listeners"][0], section, run_dir)
    for worker in document["workers"]:
        worker["address"] = f"{HOST_INNER}:{worker['address'].rpartition(':')[2]}"
    export = document.setdefault("telemetry", {}).setdefault("flows", {})
    export.setdefault("json_file", str(flows_file(run_dir)))
    what = f"packet stage on {uplink} with {len(document['listeners'])} listeners behind {', '.join(vips)}"
    first = tcp_vips(section)[0]
    return Added(what, vips, str(first["address"]), int(first["port"]))


def flows_file(run_dir: Path) -> Path:
    """Where flow records go."""
    return run_dir / "flows.jsonl"


def listeners(first: dict[str, Any], section: dict[str, Any], run_dir: Path) -> list[dict[str, Any]]:
    """A copy of the file's first listener for each TCP VIP and each of its groups."""
    groups = {steer["service"]: steer["groups"] for steer in section.get("steer", ())}
    vips = tcp_vips(section)
    certificate = vip_certificate(run_dir, [str(vip["address"]) for vip in vips])
    made = []
    for index, vip in enumerate(vips):
        for group in groups.get(vip["service"], [{"name": "only", "port": vip["port"]}]):
            one = copy.deepcopy(first)
            one["name"] = f"{group['name']}-{index}"
            host = f"[{vip['address']}]" if ":" in str(vip["address"]) else vip["address"]
            one["address"] = f"{host}:{group['port']}"
            one["certificates"] = [certificate]
            made.append(one)
    return made


def tcp_vips(section: dict[str, Any]) -> list[dict[str, Any]]:
    """The VIPs that requests come to. Raises StackError where there is none."""
    found = [vip for vip in section["vips"] if vip.get("protocol", "tcp") == "tcp"]
    if not found:
        raise StackError("the packet section has no TCP VIP: nobody could connect")
    return found


def vip_certificate(run_dir: Path, vips: list[str]) -> dict[str, Any]:
    """A certificate of the development CA for the VIPs, which the one for loopback does not name."""
    folder = ROOT / "certs/dev"
    ca = dev_ca.read_pair(folder, "ca")
    if ca is None:
        raise StackError(f"{folder} has no certificate authority: make certs")
    server = PROFILES["server"]
    names = [x509.IPAddress(ipaddress.ip_address(vip)) for vip in dict.fromkeys(vips)]
    profile = Profile(usages=server.usages, names=(*server.names, *names), days=server.days)
    dev_ca.write_pair(run_dir, "vip", authority.issue(ca, profile, "localhost"))
    return {
        "server_names": ["localhost"],
        "certificate_file": str(run_dir / "vip.pem"),
        "private_key_file": str(run_dir / "vip.key"),
    }
