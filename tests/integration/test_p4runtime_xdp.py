"""A controller programs the real XDP tables over P4Runtime: the server, its back end, the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from abi.gen.reasons import Reason
from dpu_app.agent.controller import XdpBackend
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.model.plan_packet import PlanAcl, PlanTables
from dpu_app.p4rt.options import ClientOptions, ServerOptions
from dpu_app.p4rt.server import Server, serve
from dpu_app.targets.base import TargetError
from dpu_app.targets.p4runtime import P4RuntimeTarget
from dpu_app.targets.packet import bpf
from dpu_app.targets.packet.render import ways_back
from dpu_app.targets.packet.target import XdpTarget
from tests.privileges import needs_xdp
from tests.unit.dpu_app.p4rt.packet_samples import TABLES, packet, packet_plan, with_acl

pytestmark = needs_xdp
XDP_DROP, XDP_PASS = 1, 2
DENIED = "198.51.100.9"
PERMITTED = "198.51.100.7"


class Lab:
    """XDP on a veth, open to controllers or not, with the server in front."""

    def __init__(self, folder: Path, programmed_by: str) -> None:
        self.folder = folder
        self.interface = f"dpup{os.getpid() % 100_000}"
        with IPRoute() as route:
            route.link("add", ifname=self.interface, kind="veth", peer=f"{self.interface}p")
        tables = PlanTables() if programmed_by == "p4runtime" else TABLES
        part = replace(packet(tables, programmed_by), interface=self.interface)
        self.plan = Plan(revision=3, epoch=7, packet=part)
        self.xdp = XdpTarget()
        self.xdp.apply(self.plan)
        self.server = self.serve()

    def serve(self) -> Server:
        return serve(XdpBackend(self.xdp, self.folder), ServerOptions(address="127.0.0.1:0", plaintext=True))

    def controller(self, election_id: int = 1) -> P4RuntimeTarget:
        address = f"127.0.0.1:{self.server.port}"
        return P4RuntimeTarget(ClientOptions(address=address, plaintext=True, election_id=election_id))

    def restart(self) -> None:
        """The agent goes and another one comes."""
        self.server.close()
        self.xdp.close()
        self.xdp = XdpTarget(last=self.plan)
        self.server = self.serve()

    def verdict(self, source: str) -> int:
        """What the kernel does with a TCP segment from there to the VIP."""
        assert self.xdp.generation is not None
        return bpf.test_run(self.xdp.generation.program_fd("ingress"), segment(source)).result

    def close(self) -> None:
        self.server.close()
        self.xdp.apply(EMPTY_PLAN)
        self.xdp.close()
        with IPRoute() as route:
            route.link("del", ifname=self.interface)


def segment(source: str) -> bytes:
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    ethernet = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
    return bytes(ethernet / IP(src=source, dst="192.0.2.10") / TCP(sport=40_000, dport=443, flags="S"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, "p4runtime")
    yield made
    made.close()


def test_controller_programs_the_kernel(lab: Lab) -> None:
    assert lab.verdict(DENIED) == XDP_PASS
    controller = lab.controller()
    assert controller.apply(packet_plan()) is True
    assert (lab.verdict(DENIED), lab.verdict(PERMITTED)) == (XDP_DROP, XDP_PASS)
    controller.apply(packet_plan(with_acl(), epoch=2))
    assert lab.verdict(DENIED) == XDP_PASS
    controller.close()


def test_the_next_agent_keeps_what_the_controller_wrote(lab: Lab) -> None:
    controller = lab.controller()
    controller.apply(packet_plan())
    controller.close()
    lab.restart()
    assert lab.verdict(DENIED) == XDP_DROP
    again = lab.controller()
    assert again.read_back().digest == again.digest(packet_plan())
    assert again.apply(packet_plan()) is False
    again.close()


def test_a_reboot_keeps_what_the_controller_wrote(lab: Lab) -> None:
    controller = lab.controller()
    controller.apply(packet_plan())
    controller.close()
    # The maps are gone, as after a reboot; the state directory is not.
    lab.xdp.apply(EMPTY_PLAN)
    lab.restart()
    lab.xdp.apply(lab.plan)
    assert lab.verdict(DENIED) == XDP_DROP
    again = lab.controller()
    assert again.read_back().digest == again.digest(packet_plan())
    again.close()


def test_a_reload_of_the_file_leaves_the_controllers_tables(lab: Lab) -> None:
    controller = lab.controller()
    controller.apply(packet_plan())
    lab.xdp.apply(replace(lab.plan, revision=4, epoch=8, worker_key_file="/other"))
    assert lab.verdict(DENIED) == XDP_DROP
    assert lab.xdp.read_back().epoch == 8
    assert lab.xdp.generation is not None
    # Neither flows nor ways back are the file's to remove.
    held = {key for key, _ in lab.xdp.generation.maps["reverse"].items()}
    assert held == ways_back(TABLES).keys()
    controller.close()


def test_tables_that_outgrow_the_maps_get_larger_ones(lab: Lab) -> None:
    controller = lab.controller()
    many = tuple(PlanAcl(1, f"10.{i >> 8}.{i & 255}.0/25", 0, int(Reason.ACL_ABUSE)) for i in range(6_000))
    controller.apply(packet_plan(replace(TABLES, acl=TABLES.acl + many)))
    assert (lab.verdict("10.5.5.5"), lab.verdict("10.5.5.200"), lab.verdict(DENIED)) == (XDP_DROP, XDP_PASS, XDP_DROP)
    controller.close()


def test_tables_of_the_file_are_read_and_not_written(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "agent")
    try:
        controller = lab.controller()
        with pytest.raises(TargetError, match="programmed_by"):
            controller.apply(packet_plan())
        assert lab.verdict(DENIED) == XDP_DROP
        controller.close()
    finally:
        lab.close()
