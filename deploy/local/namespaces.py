"""The network of `make run PACKET=1`: client, DPU and host as three namespaces, joined by veth pairs."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from deploy.local import netns
from deploy.local.processes import StackError
from dpu_app.targets.packet import generation

UPLINK_IPV4, UPLINK_IPV6 = "192.0.2.1", "2001:db8:a::1"
CLIENT_IPV4 = "192.0.2.100"
CLIENT_IPV6 = "2001:db8:a::100"
DENIED_IPV4 = "203.0.113.66"
DENIED_IPV6 = "2001:db8:bad::66"
"""The client's other addresses, inside prefixes that deploy/config/packet.yaml denies."""
DPU_INNER, HOST_INNER = "10.99.0.1", "10.99.0.2"
INNER = "inner0"
"""The DPU's and the host's ends of the pair that stands for PCIe."""
WIRE = "wire0"
"""The client's end of the wire."""
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
"""linux/sockios.h, linux/ethtool.h: whether the device finishes checksums on their way out."""


@dataclass(frozen=True)
class Names:
    """Names that carry the run, so that several can be there at once. `tag`: six hexadecimal digits."""

    tag: str

    @classmethod
    def of(cls, run_dir: Path) -> Names:
        """The same for the same folder: what an earlier run left behind is found again."""
        return cls(hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:6])

    @property
    def client(self) -> str:
        """Where clients are."""
        return f"dpu-{self.tag}-client"

    @property
    def dpu(self) -> str:
        """Where fast path and agent are."""
        return f"dpu-{self.tag}-dpu"

    @property
    def host(self) -> str:
        """Where workers are."""
        return f"dpu-{self.tag}-host"

    @property
    def all(self) -> tuple[str, str, str]:
        """The three namespaces."""
        return (self.client, self.dpu, self.host)

    @property
    def uplink(self) -> str:
        """The DPU's end of the wire. Pins are named after it, and bpffs is one for all namespaces."""
        return f"up-{self.tag}"


class Network:
    """The three namespaces of one run. `build` first; `remove` leaves nothing, whatever `build` came to."""

    def __init__(self, names: Names, vips: list[str]) -> None:
        """`vips`: addresses that the DPU answers for."""
        self.names = names
        self.vips = vips

    @property
    def pins(self) -> Path:
        """Where the agent pins programs and maps of the uplink."""
        return generation.folder_of(self.names.uplink)

    def build(self) -> None:
        """Makes all of it anew. Raises StackError."""
        self.remove()
        names = self.names
        netns.ip([f"netns add {name}" for name in names.all])
        netns.ip(
            [
                f"link add {names.uplink} netns {names.dpu} type veth peer name {WIRE} netns {names.client}",
                f"link add {INNER} netns {names.dpu} type veth peer name {INNER} netns {names.host}",
            ]
        )
        for name, device in ((names.dpu, names.uplink), (names.client, WIRE)):
            whole_checksums(name, device)
        netns.ip(self.lines_of_client(), names.client)
        netns.ip(self.lines_of_dpu(), names.dpu)
        netns.ip([*up("lo", INNER), f"address add {HOST_INNER}/30 dev {INNER}"], names.host)

    def lines_of_client(self) -> list[str]:
        """Addresses of the client; those that are denied have the same way."""
        addresses = [f"{CLIENT_IPV4}/24", f"{CLIENT_IPV6}/64", f"{DENIED_IPV4}/32", f"{DENIED_IPV6}/128"]
        ways = [f"route replace {vip} dev {WIRE}" for vip in self.vips]
        return [*up("lo", WIRE), *(address_line(address, WIRE) for address in addresses), *ways]

    def lines_of_dpu(self) -> list[str]:
        """The VIPs stand on the uplink beside its own addresses; everybody else is behind the client."""
        uplink = self.names.uplink
        own = [f"{UPLINK_IPV4}/24", f"{UPLINK_IPV6}/64"]
        vips = [f"{vip}/{128 if ':' in vip else 32}" for vip in self.vips]
        ways = [f"route add default via {client} dev {uplink}" for client in (CLIENT_IPV4, CLIENT_IPV6)]
        return [
            *up("lo", uplink, INNER),
            *(address_line(address, uplink) for address in own + vips),
            f"address add {DPU_INNER}/30 dev {INNER}",
            *ways,
        ]

    def remove(self) -> list[int]:
        """Takes away namespaces, who is left in them, and the pins; the process ids of the killed."""
        killed = [pid for name in self.names.all for pid in netns.remove(name)]
        generation.remove(self.pins)
        return killed


def up(*devices: str) -> list[str]:
    """Lines that switch devices on."""
    return [f"link set {device} up" for device in devices]


def address_line(address: str, device: str) -> str:
    """A line that gives a device an address; an IPv6 one is good at once."""
    return f"address add {address} dev {device}{' nodad' if ':' in address else ''}"


def whole_checksums(name: str, device: str) -> None:
    """veth leaves checksums to the card at its other end, which there is none of: XDP would see unfinished ones.

    Raises OSError.
    """
    value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sQ", device.encode(), ctypes.addressof(value))
    with netns.inside(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, SIOCETHTOOL, request)


class Hold:
    """One live stack for a run folder: another one would take its namespaces for leftovers. Ends with the process."""

    def __init__(self, run_dir: Path) -> None:
        """Raises StackError where somebody has it."""
        self.file = (run_dir / "packet.lock").open("a")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise StackError(f"another stack runs in {run_dir}: stop it, or use --run-dir or RUN_DIR") from error

    def close(self) -> None:
        """Lets the next one in."""
        self.file.close()


def programs_missing() -> list[str]:
    """Programs of Debian that the namespaces are made with and that are not here."""
    return [name for name in ("ip", "nsenter") if shutil.which(name) is None]
