"""A P4 device as a target, over P4Runtime: the packet part of a plan in two banks, live by one flip."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from dpu_app.model.plan import Plan, plan_to_json
from dpu_app.model.plan_packet import PlanTables
from dpu_app.model.problem import Problem
from dpu_app.p4rt import capacity, entities, schema
from dpu_app.p4rt.backend import Words
from dpu_app.p4rt.banks import Banks, Snapshot, WriteFailed
from dpu_app.p4rt.client import CellUpdate, Client, EntryUpdate, Failure
from dpu_app.p4rt.codec import Entries, Key
from dpu_app.p4rt.content import CONTENT_BYTES, Rates, content_hash, settled
from dpu_app.p4rt.errors import ClientError, Refused
from dpu_app.p4rt.meters import rate_of
from dpu_app.p4rt.options import ClientOptions
from dpu_app.targets.base import Programmed, TargetRefused, TargetUnavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="targets")
VERIFY_INTERVAL_S = 60.0
"""Everything is read back this often; in between, only the two default entries that every change of ours touches."""
PROBLEMS_MAX = 20
DIGESTS_KEPT = 4
Result = TypeVar("Result")


class P4RuntimeTarget:
    """One device. Its digest is half the plan's hash, which the device keeps for us in `programmed`, and half the hash
    of what its tables really say: an entry that somebody else changed gives another digest, to an agent that has just
    started too."""

    def __init__(
        self,
        options: ClientOptions,
        name: str = "p4runtime",
        *,
        verify_interval_s: float = VERIFY_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises SchemaError or OptionsError; the device is not asked yet."""
        self.schema = schema.load(options.p4info)
        self.client = Client(options, self.schema)
        self.banks = Banks(self.client)
        self.verify_interval_s = verify_interval_s
        self.clock = clock
        self._name = name
        self._digests: deque[tuple[Plan, bytes]] = deque(maxlen=DIGESTS_KEPT)
        self._rates: Rates = {}
        """What the device was given; it may have rounded it."""
        self._verified: tuple[tuple[int, int, Words], Programmed, float] | None = None
        """What the cheap read said, what everything said, and until when the one stands for the other."""

    @property
    def name(self) -> str:
        """See Target."""
        return self._name

    def apply(self, plan: Plan) -> bool:
        """See Target."""
        wanted = entities.entries(tables_of(plan), 0)
        problems = capacity.problems(plan.packet, wanted, self.schema)
        if problems:
            raise TargetRefused(self.name, tuple(problems[:PROBLEMS_MAX]))
        return self._asked(lambda: self._apply(plan, wanted))

    def read_back(self) -> Programmed:
        """See Target. Reads everything on first contact, after a reconnect, and after `verify_interval_s`."""
        return self._asked(self._read_back)

    def digest(self, plan: Plan) -> bytes:
        """See Target."""
        if not plan.epoch:
            return b""
        known = next((digest for kept, digest in self._digests if kept is plan), None)
        if known is None:
            tables = tables_of(plan)
            plan_part = hashlib.sha256(plan_to_json(plan)).digest()[:CONTENT_BYTES]
            known = plan_part + content_hash(entities.entries(tables, 0), rates_of(tables))
            self._digests.append((plan, known))
        return known

    def close(self) -> None:
        """See Target."""
        self.client.close()

    # --- reading ----------------------------------------------------------------------------------------

    def _read_back(self) -> Programmed:
        live = self.banks.live()
        if self._verified is not None:
            then, programmed, until = self._verified
            if then == live and self.clock() < until:
                return programmed
        return self._seen(self._settled(self.banks.snapshot(), self._rates))

    def _settled(self, snapshot: Snapshot, rates: Rates) -> Snapshot:
        """The same; what the device rounded is what it was given."""
        return replace(snapshot, rates=settled(snapshot.rates, rates, self.client.options.rate_tolerance_ppm))

    def _seen(self, snapshot: Snapshot) -> Programmed:
        """What a snapshot means, remembered."""
        programmed = what_is(snapshot)
        live = (snapshot.session, snapshot.active, snapshot.words)
        self._verified = (live, programmed, self.clock() + self.verify_interval_s)
        return programmed

    # --- writing ----------------------------------------------------------------------------------------

    def _apply(self, plan: Plan, wanted: Entries) -> bool:
        """`wanted` are the plan's entries in bank 0."""
        tables, digest = tables_of(plan), self.digest(plan)
        rates = rates_of(tables)
        has = self._settled(self.banks.snapshot(wanted), rates)
        if self._seen(has).digest == digest and has.words[:2] == (plan.revision, plan.epoch):
            self._rates = rates
            return False
        self._verified = None
        if has.content() != (digest[CONTENT_BYTES:] or content_hash({}, {})):
            self._program(tables, wanted, rates, has)
        self._rates = rates
        self._say(Words(plan.revision, plan.epoch, int.from_bytes(digest, "big")))
        return True

    def _program(self, tables: PlanTables, wanted: Entries, rates: Rates, has: Snapshot) -> None:
        """The content of a plan becomes live. Raises TargetRefused with the device as it was."""
        bank = 1 - has.active
        wanted = entities.of_bank(wanted, bank)
        try:
            self.banks.fill(has.of_bank(bank), wanted)
            self._verify(bank, wanted)
            self.banks.set_rates(has.rates, rates)
            self.banks.flip(bank)
        except (WriteFailed, Refused) as error:
            self._take_back(bank, has, rates)
            raise self._refusal(error, tables, bank) from error
        self._tidy(has, rates)

    def _verify(self, bank: int, wanted: Entries) -> None:
        """Raises TargetUnavailable where the device has not got what it said yes to."""
        found = self.client.read_entries(entities.BANKED)
        got = {key: call for key, call in found.items() if key.match[0] == bank}
        if got != wanted:
            lacks = len([key for key in wanted if got.get(key) != wanted[key]])
            extra = len([key for key in got if key not in wanted])
            what = f"said yes and reads back something else: {lacks} entries are missing or other, {extra} too many"
            raise TargetUnavailable(f"{self.name} {what}; nothing of it is live")

    def _take_back(self, bank: int, has: Snapshot, rates: Rates) -> None:
        """After a refusal: the meters as they were, and the bank that is not live empty. Raises ClientError."""
        try:
            now = self.banks.rates({meter: set(cells) for meter, cells in rates.items()})
            self.banks.set_rates(now, has.rates)
            self.banks.drop_rates(now, has.rates)
            found = self.client.read_entries(entities.BANKED)
            self.banks.delete(key for key in found if key.match[0] == bank)
        except (WriteFailed, Refused) as error:
            raise TargetUnavailable(f"{self.name} refused the plan, and then to take it back: {error}") from error

    def _tidy(self, has: Snapshot, rates: Rates) -> None:
        """After the flip: meters that nothing uses any more, and the bank that was live."""
        try:
            self.banks.drop_rates(has.rates, rates)
            self.banks.delete(has.of_bank(has.active))
        except WriteFailed as error:
            raise TargetUnavailable(f"{self.name} has the new tables and keeps old ones: {error}") from error

    def _say(self, words: Words) -> None:
        try:
            self.banks.say(words)
        except WriteFailed as error:
            raise TargetUnavailable(f"{self.name} does not keep what was programmed: {error}") from error

    def _refusal(self, error: WriteFailed | Refused, tables: PlanTables, bank: int) -> TargetRefused:
        """The refusal in the words of the plan."""
        if isinstance(error, Refused):
            return TargetRefused(self.name, (Problem(str(error), "see what the device supports", "packet"),))
        paths = {row.key: row.path for row in entities.rows(tables, bank)}
        found = (self._problem(failure, paths, tables) for failure in error.failures[:PROBLEMS_MAX])
        return TargetRefused(self.name, tuple(dict.fromkeys(found)))

    def _problem(self, failure: Failure, paths: dict[Key, str], tables: PlanTables) -> Problem:
        """One entry that the device did not take."""
        what = f"the device does not take {self.client.describe(failure.update)}: {failure.message}"
        fix = "change it to what the device supports"
        if isinstance(failure.update, EntryUpdate):
            return Problem(what, fix, paths.get(failure.update.key, "packet"))
        return Problem(what, fix, meter_path(failure.update, tables))

    def _asked(self, call: Callable[[], Result]) -> Result:
        """One use of the device; what the client says becomes what targets say."""
        try:
            return call()
        except ClientError as error:
            self._verified = None
            raise TargetUnavailable(f"{self.name}: {error}") from error


def tables_of(plan: Plan) -> PlanTables:
    """The packet tables of a plan; none where it has no packet part."""
    return plan.packet.tables if plan.packet else PlanTables()


def rates_of(tables: PlanTables) -> Rates:
    """The cells that a plan meters."""
    return {
        meter: {cell: rate_of(bucket) for cell, bucket in cells.items()}
        for meter, cells in entities.cells(tables).items()
    }


def what_is(snapshot: Snapshot) -> Programmed:
    """What a device has, by its own tables."""
    words = snapshot.words
    if not words.epoch and not snapshot.of_bank(snapshot.active):
        return Programmed(0, 0, b"", ready=False, detail="nothing is programmed")
    said = words.digest.to_bytes(2 * CONTENT_BYTES, "big")
    content = snapshot.content()
    is_whole = content == said[CONTENT_BYTES:]
    detail = "" if is_whole else "the tables are not those that were programmed: somebody else writes them"
    return Programmed(words.revision, words.epoch, said[:CONTENT_BYTES] + content, is_whole and words.epoch > 0, detail)


def meter_path(update: CellUpdate, tables: PlanTables) -> str:
    """Where the plan asks for a cell."""
    scope, what = update.meter.split("_")
    for i, meter in enumerate(tables.meters):
        if update.cell in entities.cells_of(meter, update.meter):
            return f"packet.meters[{i}].per_{scope}.{what}"
    return "packet.meters"
