"""The state of a P4 target that is XDP: what its maps cannot say is refused, everything else goes to the back end."""

from __future__ import annotations

from collections.abc import Sequence

from abi.gen.packet import GROUP_IDS_MAX, METER_CELLS_MAX, SERVICES_MAX, STEER_BUCKETS
from abi.gen.reasons import Reason
from dpu_app.model.packet import BURST_MAX, PER_S_MAX
from dpu_app.model.plan_packet import METER_BUCKETS, PlanTables
from dpu_app.p4rt.addresses import mask_length
from dpu_app.p4rt.backend import Backend, BackendError, BackendFull, Words
from dpu_app.p4rt.codec import Call, EntityError, Key, invalid
from dpu_app.p4rt.entities import BANKED, PORT_MASK, Cells, acl_priority, cells, entries, tables_of
from dpu_app.p4rt.meters import Rate, bucket_of, rate_of
from dpu_app.p4rt.schema import Schema, Table
from dpu_app.p4rt.state import NO_ACTION, Change, State
from dpu_app.p4rt.stubs import Message, code

BANKS = (0, 1)
PROTOCOLS = (6, 17)
DENY_REASONS = (Reason.ACL_DENIED, Reason.ACL_QUARANTINED, Reason.ACL_ABUSE)
NOT_DONE = "could not be written; see the errors of its entries, and send both again"
Failures = dict[int, EntityError]
"""Place in a batch -> why that update did not happen."""


class XdpState(State):
    """Tables as the controller wrote them, and the back end that follows.

    What XDP derives from the other tables by itself (`reverse`, and the markers in `vip`) is kept as it is written.
    Where the back end holds something else than what was written (the agent programs it, or it was tampered with), the
    back end is right.
    """

    def __init__(self, schema: Schema, backend: Backend) -> None:
        super().__init__(schema)
        self.backend = backend
        self.known = [PlanTables(), PlanTables()]
        """What each bank of the back end held when it was read or written last."""

    def refresh(self) -> None:
        """Takes over what the back end holds where that is not what is known. Raises BackendError."""
        self.defaults["set_epoch"] = Call("set_epoch", (self.backend.active_bank(),))
        self.defaults["programmed"] = Call("programmed", tuple(self.backend.words()))
        for bank in BANKS:
            held = self.backend.read(bank)
            if held != self.known[bank] and differs(held, self.known[bank]):
                self.adopt(bank, held)
            self.known[bank] = held

    def adopt(self, bank: int, held: PlanTables) -> None:
        """The bank is what the back end says."""
        for name in BANKED:
            kept = {key: call for key, call in self.entries[name].items() if key.match[0] != bank}
            self.entries[name] = kept
        for key, call in entries(held, bank).items():
            self.entries[key.table][key] = call
        other, ours = cells(self.known[1 - bank]), cells(held)
        for meter in METER_BUCKETS:
            buckets = other[meter] | ours[meter]
            self.cells[meter] = {cell: rate_of(bucket) for cell, bucket in buckets.items()}

    def batch(self, updates: Sequence[Message]) -> Failures:
        """Does a batch: every update that can be done is. Raises BackendError where the back end cannot be asked."""
        self.refresh()
        done: dict[int, list[Change]] = {}
        failed: Failures = {}
        for i, update in enumerate(updates):
            try:
                done[i] = self.apply(update)
            except EntityError as error:
                failed[i] = error
        are_written = [self.commit(bank, done, failed) for bank in BANKS]
        self.commit_defaults(done, failed, all(are_written))
        return failed

    def commit(self, bank: int, done: dict[int, list[Change]], failed: Failures) -> bool:
        """Brings one bank to the back end. False where that fails: the batch's updates of the bank did not happen."""
        touching = [i for i, changes in done.items() if any(is_about(bank, item) for item in changes)]
        if not touching:
            return True
        try:
            self.write(bank)
        except (BackendError, EntityError) as error:
            failed.update(dict.fromkeys(touching, failure(error)))
            undo(done, touching)
            # A meter concerns both banks: one that was written before has to go back too.
            for earlier in range(bank):
                self.write(earlier)
            return False
        return True

    def write(self, bank: int) -> None:
        """One bank as it should be. Raises BackendError, or EntityError where tables cannot say it."""
        tables = self.tables(bank)
        self.backend.write(bank, tables)
        self.known[bank] = tables

    def commit_defaults(self, done: dict[int, list[Change]], failed: Failures, are_written: bool) -> None:
        """Flips and says `programmed`, after everything else of the batch, and not where a bank was not written."""
        for i in [i for i, changes in done.items() if any(item.where is self.defaults for item in changes)]:
            name = done[i][0].what
            try:
                if not are_written:
                    raise EntityError(code.FAILED_PRECONDITION, f"{name} is as before: a bank of this batch {NOT_DONE}")
                self.to_backend(name, self.defaults[name])
            except (BackendError, EntityError) as error:
                failed[i] = failure(error)
                undo(done, [i])

    def to_backend(self, name: str, call: Call) -> None:
        """One default entry. Raises BackendError."""
        if name == "set_epoch":
            self.backend.flip(call.params[0])
        elif name == "programmed":
            self.backend.set_words(Words(*call.params))

    def tables(self, bank: int) -> PlanTables:
        """What the entries of a bank mean. Raises EntityError."""
        found = self.all_entries(BANKED)
        first = {cell for call in self.entries["meter_source"].values() for cell in call.params[2:3]}
        wanted = first | set(range(SERVICES_MAX))
        configured: Cells = {
            meter: {cell: bucket_of(self.cells[meter][cell]) for cell in wanted if cell in self.cells[meter]}
            for meter in METER_BUCKETS
        }
        return tables_of(found, bank, configured)

    def wipe(self) -> None:
        """Empties both banks, as a pipeline that is loaded anew. Raises BackendError."""
        for bank in BANKS:
            self.backend.write(bank, PlanTables())
            self.known[bank] = PlanTables()
        # Without this, frames would go on to see bank 1 while a controller fills bank 0, as after a start.
        self.backend.flip(BANKS[0])
        self.backend.set_words(Words())
        self.clear()

    # --- what XDP's maps cannot say ----------------------------------------------------------------

    def default(self, table: Table) -> Call | None:
        """See State."""
        return NO_ACTION if table.fields else None

    def check_default(self, key: Key, call: Call | None) -> None:
        """Only the two tables without a key have one that can be set."""
        if key.table not in ("set_epoch", "programmed"):
            raise EntityError(code.PERMISSION_DENIED, f"{key.table}: the default entry is NoAction for good")
        if call is None:
            raise invalid(f"{key.table}: give its action; it has no other value to go back to")

    def check_entry(self, key: Key, call: Call) -> None:
        """Values that are no service, port, prefix, reason, bucket or group; each table has its own rules."""
        CHECKS[key.table](self, key, call)

    def check_cells(self, meter: str, cells: range, rate: Rate | None) -> range:
        """One rate for all cells of a service's block: it is set by the first, and the others may only agree."""
        check_rate(meter, rate)
        if not meter.startswith("source_") or len(cells) != 1:
            return cells
        blocks = [call.params[2:] for call in self.entries["meter_source"].values()]
        sizes = [count for base, count in blocks if base == cells.start]
        if sizes:
            return range(cells.start, cells.start + min(sizes))
        base = next((base for base, count in blocks if base < cells.start < base + count), None)
        if base is not None and self.cells[meter].get(cells.start) != rate:
            what = f"{meter}: XDP has one rate for all cells of a service; cell {cells.start} is in the block"
            raise invalid(f"{what} that begins at {base}: set that cell, and the block follows")
        return cells


def differs(one: PlanTables, other: PlanTables) -> bool:
    """Whether two mean something else: the order and the names of groups do not count."""
    return entries(one, 0) != entries(other, 0) or cells(one) != cells(other)


def is_about(bank: int, item: Change) -> bool:
    """Whether a change concerns a bank; meters, whose cells are numbers, concern both."""
    return item.what.match[0] == bank if isinstance(item.what, Key) else isinstance(item.what, int)


def failure(error: BackendError | EntityError) -> EntityError:
    """What the controller is told."""
    if isinstance(error, EntityError):
        return error
    return EntityError(code.RESOURCE_EXHAUSTED if isinstance(error, BackendFull) else code.INTERNAL, str(error))


def undo(done: dict[int, list[Change]], which: Sequence[int]) -> None:
    """Takes updates of a batch back, the last first."""
    for i in sorted(which, reverse=True):
        for item in reversed(done.pop(i)):
            item.undo()


def check_rate(meter: str, rate: Rate | None) -> None:
    """XDP's token buckets have one rate. Raises EntityError."""
    if rate is None:
        return
    if rate.cir != rate.pir or rate.cburst != rate.pburst:
        raise invalid(f"{meter}: a token bucket has one rate; write cir = pir and cburst = pburst")
    if rate.cir > PER_S_MAX or not 1 <= rate.cburst <= BURST_MAX:
        raise EntityError(code.OUT_OF_RANGE, f"{meter}: cir is at most {PER_S_MAX}, cburst 1 to {BURST_MAX}")


def check_service(number: int, *, none: bool = False) -> None:
    """A service id. Raises EntityError."""
    if not (number or none) or number >= SERVICES_MAX:
        raise EntityError(code.OUT_OF_RANGE, f"service {number}: ids are 1 to {SERVICES_MAX - 1}")


def check_port(table: str, number: int) -> None:
    """A port. Raises EntityError."""
    if not number:
        raise invalid(f"{table}: port 0 is no port")


def check_vip(_state: XdpState, key: Key, call: Call) -> None:
    """A VIP, or the marker of an address."""
    _bank, _address, protocol, port = key.match
    if (protocol, port) == (0, 0):
        if call.params[0]:
            raise invalid("vip: the entry with protocol 0 and port 0 marks an address; its action is service(0)")
        return
    if protocol not in PROTOCOLS or not port:
        raise invalid("vip: the protocol is 6 (TCP) or 17 (UDP) and the port is not 0; only a marker has both 0")
    check_service(call.params[0])


def check_acl(_state: XdpState, key: Key, call: Call) -> None:
    """The longest prefix wins in XDP: the source has to be one, and the priority has to say the same."""
    _bank, service, source, port = key.match
    assert isinstance(service, int) and isinstance(source, tuple) and isinstance(port, tuple)
    check_service(service)
    length = mask_length(source[1])
    if length is None:
        raise invalid("acl: the mask of 'source' has to be a prefix: ones, then zeros")
    if port[1] not in (0, PORT_MASK) or (port[1] and not port[0]):
        raise invalid("acl: 'port' is one port with the mask 0xffff, or it is left out")
    wanted = acl_priority(length, port[0])
    if key.priority != wanted:
        rule = "2 x prefix length + (1 if it has a port) + 1"
        raise invalid(f"acl: the priority of this entry has to be {wanted}, not {key.priority}: {rule}")
    if call.action == "deny" and call.params[0] not in DENY_REASONS:
        reasons = ", ".join(f"{int(reason)} {reason.name.lower()}" for reason in DENY_REASONS)
        raise invalid(f"acl: deny has one of the reasons {reasons}")


def check_meter_source(_state: XdpState, key: Key, call: Call) -> None:
    """A block of cells."""
    service = key.match[1]
    assert isinstance(service, int)
    check_service(service)
    mask_ipv4, mask_ipv6, base, count = call.params
    if mask_length(mask_ipv4, 32) is None or mask_length(mask_ipv6) is None:
        raise invalid("meter_source: the masks have to be prefixes: ones, then zeros")
    if not count or count & (count - 1):
        raise invalid(f"meter_source: 'cells' is a power of two, not {count}")
    if base + count > METER_CELLS_MAX:
        raise EntityError(code.OUT_OF_RANGE, f"meter_source: cells {base} to {base + count - 1} are beyond the last")


def check_steer(_state: XdpState, key: Key, call: Call) -> None:
    """A bucket of a service."""
    _bank, service, bucket = key.match
    assert isinstance(service, int) and isinstance(bucket, int)
    check_service(service)
    if bucket >= STEER_BUCKETS:
        raise EntityError(code.OUT_OF_RANGE, f"steer: buckets are 0 to {STEER_BUCKETS - 1}")
    check_port("steer", call.params[1])
    if not 1 <= call.params[0] <= GROUP_IDS_MAX:
        raise EntityError(code.OUT_OF_RANGE, f"steer: group ids are 1 to {GROUP_IDS_MAX}")


def check_reverse(_state: XdpState, key: Key, call: Call) -> None:
    """A way back."""
    if key.match[2] not in PROTOCOLS:
        raise invalid("reverse: the protocol is 6 (TCP) or 17 (UDP)")
    assert isinstance(key.match[3], int)
    check_port("reverse", key.match[3])
    check_port("reverse", call.params[0])


CHECKS = {
    "vip": check_vip,
    "acl": check_acl,
    "meter_source": check_meter_source,
    "steer": check_steer,
    "reverse": check_reverse,
}
