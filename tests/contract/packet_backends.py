"""Back ends of the packet contract: a target over each, with a hand on what it really holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from pyroute2 import IPRoute

from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.model.plan_packet import PlanTables
from dpu_app.p4rt import entities, server
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.meters import bucket_of
from dpu_app.p4rt.options import ClientOptions, ServerOptions
from dpu_app.targets.base import Programmed, Target
from dpu_app.targets.p4runtime import P4RuntimeTarget
from dpu_app.targets.packet.acl import acl_tables
from dpu_app.targets.packet.target import XdpTarget, rendered
from tests.contract.bmv2_device import bmv2
from tests.contract.dpl_like import DPL_QUIRKS, DplLike, Quirk
from tests.privileges import needs_xdp

ROOT = Path(__file__).resolve().parents[2]


class Device(Protocol):
    """What a target is tried on."""

    target: Target
    has_one_writer: bool
    """Plans that leave the tables to a controller, or have more entries than the device, are refused."""

    def tables(self) -> PlanTables:
        """What frames meet: the tables of the live bank."""
        ...

    def stale(self) -> PlanTables:
        """The tables of the other bank."""
        ...

    def tamper(self) -> None:
        """Takes an ACL entry out of the live bank, behind the target's back."""
        ...

    def other(self) -> Target:
        """A second target object on the same device, as after a restart of the agent."""
        ...


class DplDevice:
    """A DPL-like server with its target."""

    has_one_writer = True

    def __init__(self, quirks: frozenset[Quirk] = DPL_QUIRKS) -> None:
        self.dpl = DplLike(quirks)
        self.options = ClientOptions(
            address=self.dpl.address, plaintext=True, arbitration="try", arbitration_timeout_s=0.05
        )
        self.target: Target = P4RuntimeTarget(self.options)
        self.made = [self.target]

    def bank(self) -> int:
        call = self.dpl.tables.state.defaults.get("set_epoch")
        return call.params[0] if call else 0

    def of(self, bank: int) -> PlanTables:
        state = self.dpl.tables.state
        cells = {meter: {cell: bucket_of(rate) for cell, rate in rates.items()} for meter, rates in state.cells.items()}
        return entities.tables_of(state.all_entries(entities.BANKED), bank, cells)

    def tables(self) -> PlanTables:
        return self.of(self.bank())

    def stale(self) -> PlanTables:
        return self.of(1 - self.bank())

    def tamper(self) -> None:
        acl = self.dpl.entries("acl")
        del acl[next(key for key in acl if key.match[0] == self.bank())]

    def other(self) -> Target:
        # DPL has room for one controller.
        self.target.close()
        self.made.append(P4RuntimeTarget(self.options))
        return self.made[-1]

    def close(self) -> None:
        for target in self.made:
            target.close()
        self.dpl.close()


class ServerDevice:
    """Our own server in front of a back end in memory, as it stands in front of XDP."""

    has_one_writer = True

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        self.server = server.serve(self.backend, ServerOptions(address="127.0.0.1:0", plaintext=True))
        self.address = f"127.0.0.1:{self.server.port}"
        self.target: Target = P4RuntimeTarget(ClientOptions(address=self.address, plaintext=True))
        self.made = [self.target]

    def tables(self) -> PlanTables:
        return self.backend.banks[self.backend.bank]

    def stale(self) -> PlanTables:
        return self.backend.banks[1 - self.backend.bank]

    def tamper(self) -> None:
        held = self.tables()
        self.backend.banks[self.backend.bank] = PlanTables(held.vips, held.acl[1:], held.meters, held.steer)

    def other(self) -> Target:
        self.made.append(P4RuntimeTarget(ClientOptions(address=self.address, plaintext=True, election_id=2)))
        return self.made[-1]

    def close(self) -> None:
        for target in self.made:
            target.close()
        self.server.close()


class XdpDevice:
    """XDP on an interface of its own."""

    has_one_writer = False

    def __init__(self) -> None:
        self.interface = f"dpuc{os.getpid() % 100_000}"
        with IPRoute() as route:
            route.link("add", ifname=self.interface, kind="veth", peer=f"{self.interface}p")
            route.link("set", index=route.link_lookup(ifname=self.interface)[0], state="up")
        self.target: Target = OnInterface(XdpTarget(), self.interface)
        self.made = [self.target]

    def xdp(self) -> XdpTarget:
        assert isinstance(self.made[-1], OnInterface)
        return self.made[-1].inner

    def held(self, bank: int) -> PlanTables:
        """Maps hold no entries: what they should hold, where they do, and where they hold nothing that."""
        xdp = self.xdp()
        if xdp.generation is None:
            return PlanTables()
        maps = xdp.generation.maps
        candidates = [xdp.packet.tables] if xdp.packet else []
        for tables in [PlanTables(), *candidates]:
            wanted = rendered(maps, tables, acl_tables(tables), bank)
            if maps.read(bank, wanted) == wanted:
                return tables
        raise AssertionError("the maps hold something else")

    def bank(self) -> int:
        xdp = self.xdp()
        return xdp.generation.maps.epoch()[1] if xdp.generation else 0

    def tables(self) -> PlanTables:
        return self.held(self.bank())

    def stale(self) -> PlanTables:
        return self.held(1 - self.bank())

    def tamper(self) -> None:
        xdp = self.xdp()
        assert xdp.generation is not None
        maps = xdp.generation.maps
        start, _ = maps.half("acl4", self.bank())
        blocks = maps.memory["acl4"]
        at = next(i for i in range(start, len(blocks)) if blocks[i])
        blocks[at : at + 1] = b"\0"

    def other(self) -> Target:
        assert isinstance(self.target, OnInterface)
        last = self.target.last
        self.made.append(OnInterface(XdpTarget(last=last), self.interface))
        return self.made[-1]

    def close(self) -> None:
        self.made[-1].apply(EMPTY_PLAN)
        for target in self.made:
            target.close()
        with IPRoute() as route:
            route.link("del", ifname=self.interface)


class OnInterface:
    """XDP for plans that name an interface which is not there."""

    def __init__(self, inner: XdpTarget, interface: str) -> None:
        self.inner = inner
        self.interface = interface
        self.last = EMPTY_PLAN

    @property
    def name(self) -> str:
        return self.inner.name

    def moved(self, plan: Plan) -> Plan:
        return replace(plan, packet=replace(plan.packet, interface=self.interface)) if plan.packet else plan

    def apply(self, plan: Plan) -> bool:
        changed = self.inner.apply(self.moved(plan))
        self.last = self.moved(plan)
        return changed

    def read_back(self) -> Programmed:
        return self.inner.read_back()

    def digest(self, plan: Plan) -> bytes:
        return self.inner.digest(self.moved(plan))

    def close(self) -> None:
        self.inner.close()


def xdp() -> Iterator[Device]:
    device = XdpDevice()
    yield device
    device.close()


def dpl_like() -> Iterator[Device]:
    device = DplDevice()
    yield device
    device.close()


def p4runtime_server() -> Iterator[Device]:
    device = ServerDevice()
    yield device
    device.close()


BACKENDS = [dpl_like, p4runtime_server, bmv2, pytest.param(xdp, marks=needs_xdp)]
"""The packet contract runs over each; one more is one more function here."""
