"""Programming two banks through a client: fill one, read it back, flip, clear the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from dpu_app.model.plan_packet import METER_BUCKETS
from dpu_app.p4rt.backend import Words
from dpu_app.p4rt.client import DELETE, INSERT, MODIFY, CellUpdate, Client, EntryUpdate, Failure, Update
from dpu_app.p4rt.codec import Call, Entries, Key
from dpu_app.p4rt.content import Rates, content_hash
from dpu_app.p4rt.entities import BANKED
from dpu_app.p4rt.stubs import code

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")


class WriteFailed(Exception):
    """The device did not take updates; says which."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("; ".join(failure.message for failure in failures[:8]))
        self.failures = tuple(failures)


@dataclass(frozen=True)
class Snapshot:
    """What a device had when it was read. `rates` are of the cells that were looked at."""

    session: int
    active: int
    words: Words
    entries: Entries
    rates: Rates

    def of_bank(self, bank: int) -> Entries:
        """The entries of one bank."""
        return {key: call for key, call in self.entries.items() if key.match[0] == bank}

    def content(self) -> bytes:
        """The hash of what the active bank says."""
        entries = self.of_bank(self.active)
        looked = cells_used(entries)
        rates = {m: {c: r for c, r in self.rates.get(m, {}).items() if c in looked[m]} for m in METER_BUCKETS}
        return content_hash(entries, rates)


def cells_used(entries: Entries) -> dict[str, set[int]]:
    """Meter -> the cells that entries of `meter_source` send frames to."""
    sources: set[int] = set()
    services: set[int] = set()
    for key, call in entries.items():
        if key.table == "meter_source":
            _mask_ipv4, _mask_ipv6, base, count = call.params
            sources.update(range(base, base + count))
            services.update(value for value in key.match[1:] if isinstance(value, int))
    return {name: sources if name.startswith("source_") else services for name in METER_BUCKETS}


class Banks:
    """The tables of a device behind a client. Every method may raise ClientError."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.modify_refused = False
        """The device has no MODIFY of regular entries (NVIDIA's DPL): DELETE and INSERT take its place."""

    def live(self) -> tuple[int, int, Words]:
        """Session, active bank, and what `programmed` says. Two small reads."""
        session = self.client.connect()
        epoch, words = self.client.read_default("set_epoch"), self.client.read_default("programmed")
        active = epoch.params[0] if epoch is not None and epoch.action == "set_epoch" else 0
        said = Words(*words.params) if words is not None and words.action == "programmed" else Words()
        return session, active, said

    def snapshot(self, more: Entries | None = None) -> Snapshot:
        """Everything; `more` are entries whose cells are looked at too."""
        session, active, words = self.live()
        entries = self.client.read_entries(BANKED)
        return Snapshot(session, active, words, entries, self.rates(cells_used(entries | (more or {}))))

    def rates(self, cells: dict[str, set[int]]) -> Rates:
        """The rates of cells; meters that the device has not have none."""
        schema = self.client.schema
        return {
            name: self.client.read_cells(name, sorted(wanted)) if wanted and schema.has_meter(name) else {}
            for name, wanted in cells.items()
        }

    def fill(self, has: Entries, wanted: Entries) -> None:
        """Makes a bank that has `has` hold `wanted`. Raises WriteFailed."""
        stale = [key for key in has if key not in wanted]
        other = [key for key in wanted if key in has and has[key] != wanted[key]]
        new = [key for key in wanted if key not in has]
        if self.modify_refused:
            stale, new, other = stale + other, new + other, []
        self.delete(stale)
        again = self.modify(other, wanted)
        self.delete(again)
        self.write(EntryUpdate(INSERT, key, wanted[key]) for key in [*new, *again])

    def modify(self, keys: Iterable[Key], wanted: Entries) -> list[Key]:
        """Modifies entries; the keys of those that the device wants deleted and inserted. Raises WriteFailed."""
        failures = self.client.write(EntryUpdate(MODIFY, key, wanted[key]) for key in keys)
        kinds = (code.UNIMPLEMENTED, code.INVALID_ARGUMENT, code.FAILED_PRECONDITION, code.NOT_FOUND)
        others = [failure for failure in failures if failure.status not in kinds]
        if others:
            raise WriteFailed(others)
        again = [failure.update.key for failure in failures if isinstance(failure.update, EntryUpdate)]
        # An entry that is gone says nothing of MODIFY: somebody took it out between our read and our write.
        if any(failure.status != code.NOT_FOUND for failure in failures):
            log.info("the device refuses MODIFY of regular entries", entries=len(again))
            self.modify_refused = True
        return again

    def delete(self, keys: Iterable[Key]) -> None:
        """Deletes entries; one that is gone already is well. Raises WriteFailed."""
        failures = self.client.write(EntryUpdate(DELETE, key) for key in keys)
        self.check(failure for failure in failures if failure.status != code.NOT_FOUND)

    def write(self, updates: Iterable[Update]) -> None:
        """Raises WriteFailed."""
        self.check(self.client.write(updates))

    def check(self, failures: Iterable[Failure]) -> None:
        """Raises WriteFailed where there are any."""
        found = list(failures)
        if found:
            raise WriteFailed(found)

    def set_rates(self, has: Rates, wanted: Rates) -> None:
        """Gives cells their rates, those that have another one or none. Raises WriteFailed."""
        self.write(
            CellUpdate(meter, cell, rate)
            for meter in METER_BUCKETS
            for cell, rate in sorted(wanted.get(meter, {}).items())
            if has.get(meter, {}).get(cell) != rate
        )

    def drop_rates(self, has: Rates, wanted: Rates) -> None:
        """Takes the rates away that are not wanted any more. Raises WriteFailed."""
        self.write(
            CellUpdate(meter, cell, None)
            for meter in METER_BUCKETS
            for cell in sorted(has.get(meter, {}))
            if cell not in wanted.get(meter, {})
        )

    def flip(self, bank: int) -> None:
        """Frames see `bank` from now on. Raises WriteFailed."""
        self.write([EntryUpdate(MODIFY, Key("set_epoch"), Call("set_epoch", (bank,)))])

    def say(self, words: Words) -> None:
        """Writes `programmed`. Raises WriteFailed."""
        self.write([EntryUpdate(MODIFY, Key("programmed"), Call("programmed", tuple(words)))])
