"""Back ends of the packet contract: a target over each, with a hand on what it really holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from dpu_app.model.plan_packet import PlanTables
from dpu_app.p4rt import entities, server
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.meters import bucket_of
from dpu_app.p4rt.options import ClientOptions, ServerOptions
from dpu_app.targets.base import Target
from dpu_app.targets.p4runtime import P4RuntimeTarget
from tests.contract.dpl_like import DPL_QUIRKS, DplLike, Quirk


class Device(Protocol):
    """What a target is tried on."""

    target: Target

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


def dpl_like() -> Iterator[Device]:
    device = DplDevice()
    yield device
    device.close()


def p4runtime_server() -> Iterator[Device]:
    device = ServerDevice()
    yield device
    device.close()


BACKENDS = [dpl_like, p4runtime_server]
"""The packet contract runs over each; one more is one more function here."""
