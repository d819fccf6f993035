"""BMv2 as a back end of the packet contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dpu_app.model.plan_packet import PlanTables
from dpu_app.p4rt import entities
from dpu_app.p4rt.client import DELETE, EntryUpdate
from dpu_app.p4rt.meters import bucket_of
from dpu_app.targets.base import Target
from dpu_app.targets.p4runtime import P4RuntimeTarget
from tests.conformance.bmv2 import Bmv2, installed


class Bmv2Device:
    """A switch with its target. What it holds is read from it: it has no other window."""

    has_one_writer = True

    def __init__(self) -> None:
        self.switch = Bmv2()
        self.target: Target = self.switch.target
        self.last = self.switch.target

    def of(self, live: bool) -> PlanTables:
        has = self.last.banks.snapshot()
        bank = has.active if live else 1 - has.active
        cells = {meter: {cell: bucket_of(rate) for cell, rate in rates.items()} for meter, rates in has.rates.items()}
        return entities.tables_of(has.of_bank(bank), bank, cells)

    def tables(self) -> PlanTables:
        return self.of(live=True)

    def stale(self) -> PlanTables:
        return self.of(live=False)

    def tamper(self) -> None:
        has = self.last.banks.snapshot()
        key = next(key for key in has.of_bank(has.active) if key.table == "acl")
        assert self.last.client.write([EntryUpdate(DELETE, key)]) == []

    def other(self) -> Target:
        # Of two controllers with one election id BMv2 takes the first.
        self.last.close()
        self.last = P4RuntimeTarget(self.switch.options)
        return self.last

    def close(self) -> None:
        self.last.close()
        self.switch.close()


def bmv2() -> Iterator[Bmv2Device]:
    if not installed():
        pytest.skip("no simple_switch_grpc on PATH: p4/README.md")
    device = Bmv2Device()
    yield device
    device.close()
