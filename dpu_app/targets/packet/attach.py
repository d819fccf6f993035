"""Where the programs hang: a pinned XDP link on the wire's interface, and a tc egress filter beside it.

Both outlive the agent. A program of somebody else is never replaced unless that was asked for.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet import bpf

FLAGS = {"native": 1 << 2, "generic": 1 << 1}
"""XDP_FLAGS_DRV_MODE and XDP_FLAGS_SKB_MODE of linux/if_link.h."""
ATTACHED = {1: "native", 2: "generic", 3: "offloaded", 4: "several"}
EGRESS_PARENT = 0xFFFFFFF3
CLSACT_PARENT = 0xFFFFFFF1
PRIORITY = 4_464
HANDLE = 1
FILTER_NAME = "dpu_egress"
ETH_P_ALL = 0x0003
NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOMEM, errno.EMSGSIZE}
"""How drivers say that they have no native mode for this program now (no queue left, MTU too large, ...)."""


class SomebodyElse(TargetUnavailable):
    """The interface has a program that is not ours."""


@dataclass(frozen=True)
class Attached:
    """An XDP program on an interface; `mode` is empty where there is none."""

    mode: str
    program_id: int


@contextmanager
def netlink() -> Iterator[Any]:
    """A netlink socket for a few questions; pyroute2 has no types for its answers."""
    with IPRoute() as route:
        yield route


def interface_index(name: str) -> int:
    """Raises TargetUnavailable."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise TargetUnavailable(
            f"there is no network interface '{name}': see `ip link`, or wait until it is there"
        ) from error


def attached(ifindex: int) -> Attached:
    """What XDP program an interface has. Raises TargetUnavailable."""
    with netlink() as route:
        try:
            message = route.get_links(ifindex)[0]
        except NetlinkError as error:
            raise TargetUnavailable(f"interface {ifindex} cannot be asked: {error}") from error
        xdp = message.get_attr("IFLA_XDP")
        if xdp is None or not xdp.get_attr("IFLA_XDP_ATTACHED"):
            return Attached("", 0)
        mode = xdp.get_attr("IFLA_XDP_ATTACHED")
        names = {"xdp": "native", "xdpgeneric": "generic", "xdpoffload": "offloaded", "xdpmulti": "several"}
        return Attached(names.get(mode) or ATTACHED.get(mode, str(mode)), xdp.get_attr("IFLA_XDP_PROG_ID") or 0)


def attach_xdp(program_fd: int, ifindex: int, mode: str, force: bool) -> tuple[int, str]:
    """Attaches where nobody is; the link's descriptor and the mode. Raises SomebodyElse or TargetUnavailable.

    `mode` auto tries native first. With `force` a program that somebody attached over netlink is taken off; one that is
    held by a link of its owner cannot be.
    """
    there = attached(ifindex)
    if there.mode:
        refuse_theirs(ifindex, there, force)
        take_off(ifindex, there)
    wanted = ("native", "generic") if mode == "auto" else (mode,)
    refusals = []
    for one in wanted:
        try:
            return bpf.link_xdp(program_fd, ifindex, FLAGS[one]), one
        except bpf.BpfError as error:
            if error.errno == errno.EBUSY:
                raise SomebodyElse(f"interface {ifindex} was taken by somebody else just now: {error}") from error
            refusals.append(f"{one}: {error.strerror}")
            if error.errno not in NOT_SUPPORTED:
                break
    raise TargetUnavailable(f"XDP cannot be attached to interface {ifindex}: {'; '.join(refusals)}")


def refuse_theirs(ifindex: int, there: Attached, force: bool) -> None:
    """Raises SomebodyElse where an interface has their XDP program and nobody asked for it to be replaced."""
    if there.mode and not force:
        what = f"interface {ifindex} has program {there.program_id} of somebody else ({there.mode})"
        raise SomebodyElse(f"{what}: see `bpftool prog show id {there.program_id}`, or start with --force")


def take_off(ifindex: int, there: Attached) -> None:
    """Detaches what somebody attached over netlink. Raises SomebodyElse where it is held by a link."""
    with netlink() as route:
        try:
            # Without the mode the kernel takes off the driver's, and leaves a generic one.
            flags = FLAGS["generic" if there.mode == "generic" else "native"]
            off = {"attrs": [("IFLA_XDP_FD", -1), ("IFLA_XDP_FLAGS", flags)]}
            route.link("set", index=ifindex, IFLA_XDP=off)
        except NetlinkError as error:
            what = f"program {there.program_id} on interface {ifindex} is held by a link of its owner"
            raise SomebodyElse(f"{what}: see `bpftool link`, then `bpftool link detach id N`") from error


def attach_egress(program_fd: int, ifindex: int) -> None:
    """Adds or replaces our filter on tc egress, in one step. Raises TargetUnavailable."""
    with netlink() as route:
        try:
            route.tc("add", "clsact", ifindex)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise TargetUnavailable(f"interface {ifindex} takes no clsact: {error}") from error
        refuse_their_filter(route, ifindex)
        try:
            route.tc(
                "replace-filter", "bpf", ifindex, HANDLE, fd=program_fd, name=FILTER_NAME, parent=EGRESS_PARENT,
                prio=PRIORITY, protocol=ETH_P_ALL, direct_action=True, classid=1,
            )  # fmt: skip
        except NetlinkError as error:
            raise TargetUnavailable(f"the egress program cannot be attached to interface {ifindex}: {error}") from error


def refuse_their_filter(route: Any, ifindex: int) -> None:
    """Raises SomebodyElse where our place on tc egress is taken."""
    there = egress_filter(route, ifindex)
    if there not in (None, FILTER_NAME):
        raise SomebodyElse(f"tc egress of interface {ifindex} has '{there}' at priority {PRIORITY}: remove it")


def egress_filter(route: Any, ifindex: int) -> str | None:
    """The name of the program at our place on tc egress, None where there is none."""
    for message in route.get_filters(index=ifindex, parent=EGRESS_PARENT):
        options = message.get_attr("TCA_OPTIONS")
        if message["info"] >> 16 == PRIORITY and options is not None and hasattr(options, "get_attr"):
            name = options.get_attr("TCA_BPF_NAME")
            if name:
                return str(name)
    return None


def has_egress(ifindex: int) -> bool:
    """Whether our filter is on tc egress."""
    with netlink() as route:
        return egress_filter(route, ifindex) == FILTER_NAME


def detach_egress(ifindex: int) -> None:
    """Takes our filter off; other filters and clsact stay."""
    with netlink() as route:
        if egress_filter(route, ifindex) == FILTER_NAME:
            route.tc("del-filter", "bpf", ifindex, HANDLE, parent=EGRESS_PARENT, prio=PRIORITY, protocol=ETH_P_ALL)


def unpinned(path: Path) -> bool:
    """Removes a name from bpffs; whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
