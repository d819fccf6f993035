"""A P4Runtime server with the refusals and silences of NVIDIA's DPL runtime service, each switched on by name.

The list is that of the DPL release notes (DOCA 3.1 and 3.2, "P4 Runtime"): writes are CONTINUE_ON_ERROR only, of table,
counter and meter entries; INSERT and DELETE of regular entries only, MODIFY of the default entry, counters and meters
only; a table of size N holds N - 1 entries; sizes are powers of two; rates and bursts have limits; there is no
Capabilities call, no MasterArbitrationUpdate, no digest, action profile, register or value set; one controller at a
time. Faults that any device can have come after them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import Enum

import grpc

from dpu_app.p4rt import schema
from dpu_app.p4rt.backend import Words
from dpu_app.p4rt.codec import Call, EntityError, Key, invalid
from dpu_app.p4rt.meters import Rate
from dpu_app.p4rt.options import ServerOptions
from dpu_app.p4rt.reading import Counters
from dpu_app.p4rt.schema import Table
from dpu_app.p4rt.server import Server
from dpu_app.p4rt.service import Refused, Service, refuse
from dpu_app.p4rt.state import State
from dpu_app.p4rt.stubs import Message, code, config, v1

CIR_MAX = 255_000_000_000
CBURST_MAX = 2_147_483_648


class Quirk(Enum):
    """What is special; DPL has all of DPL_QUIRKS."""

    NO_MODIFY = "no MODIFY of regular entries"
    NO_ARBITRATION = "an arbitration is never answered"
    ENDS_STREAM_ON_ARBITRATION = "an arbitration ends the stream"
    ANY_WRITER = "writes need no primary"
    BYTE_METERS_ONLY = "meters count bytes only"
    RATE_LIMITS = "rates and bursts have limits"
    DEFAULT_ENTRY_TAKES_ROOM = "a table of size N holds N - 1 entries"
    POWER_OF_TWO_SIZES = "tables whose size is no power of two are refused with the pipeline"
    ROUNDS_RATES = "a rate becomes one token a second less"
    NO_CAPABILITIES = "no Capabilities call"
    ONE_CONTROLLER = "one stream at a time"
    NO_COUNTER_READ = "counters cannot be read"
    NO_PIPELINE = "no pipeline until one is pushed"
    DROPS_STREAM = "the stream ends after each Write"
    SLOW = "every Write takes longer than the deadline"
    FAILS_ENTRIES = "every third INSERT into acl fails"
    PARTIAL_BATCH = "half of the first batch is done, then the call fails without details"
    LIES_AT_READ = "reads leave out an ACL entry"
    FORGETS = "writes are acknowledged and not done"


DPL_QUIRKS = frozenset(
    {
        *(Quirk.NO_MODIFY, Quirk.NO_ARBITRATION, Quirk.ANY_WRITER, Quirk.RATE_LIMITS),
        *(Quirk.DEFAULT_ENTRY_TAKES_ROOM, Quirk.POWER_OF_TWO_SIZES, Quirk.NO_CAPABILITIES, Quirk.ONE_CONTROLLER),
    }
)
SLOW_S = 1.0


class DplState(State):
    """What the device can hold."""

    def __init__(self, found: schema.Schema, quirks: frozenset[Quirk]) -> None:
        super().__init__(found)
        self.quirks = quirks

    def room(self, table: Table) -> int:
        return table.size - (Quirk.DEFAULT_ENTRY_TAKES_ROOM in self.quirks)

    def default(self, table: Table) -> Call | None:
        if table.name == "set_epoch":
            return Call("set_epoch", (0,))
        return Call("programmed", tuple(Words())) if table.name == "programmed" else super().default(table)

    def check_cells(self, meter: str, cells: range, rate: Rate | None) -> range:
        unit = self.schema.meter(meter).unit
        if rate is not None and Quirk.BYTE_METERS_ONLY in self.quirks and unit != "bytes":
            raise EntityError(code.UNIMPLEMENTED, f"{meter} counts {unit}; only bytes are supported")
        if rate is not None and Quirk.RATE_LIMITS in self.quirks and (rate.cir > CIR_MAX or rate.cburst > CBURST_MAX):
            raise EntityError(code.OUT_OF_RANGE, f"{meter}: cir is at most {CIR_MAX}, cburst {CBURST_MAX}")
        return cells

    def rounded(self, update: Message) -> Message:
        """The same with a rate that is one lower."""
        copy = v1.Update()
        copy.CopyFrom(update)
        config = copy.entity.meter_entry.config
        if copy.entity.WhichOneof("entity") == "meter_entry" and config.cir > 1:
            config.cir, config.pir = config.cir - 1, config.pir - 1
        return copy

    def apply(self, update: Message) -> list[object]:  # type: ignore[override]  # nobody undoes here
        entry = update.entity.table_entry
        is_regular = update.entity.WhichOneof("entity") == "table_entry" and not entry.is_default_action
        if Quirk.NO_MODIFY in self.quirks and is_regular and update.type == v1.Update.MODIFY:
            raise EntityError(code.UNIMPLEMENTED, "MODIFY of a regular entry is not supported")
        return list(super().apply(self.rounded(update) if Quirk.ROUNDS_RATES in self.quirks else update))


class DplTables:
    """The tables behind the service; one batch at a time."""

    def __init__(self, found: schema.Schema, quirks: frozenset[Quirk]) -> None:
        self.state = DplState(found, quirks)
        self.quirks = quirks
        self.inserted = 0
        self.batches = 0
        self.writes: list[Message] = []
        """Every update that came, for tests that look at what a client really sends."""

    def refresh(self) -> None:
        pass

    def why_not_writable(self) -> str:
        return ""

    def batch(self, updates: list[Message]) -> dict[int, EntityError]:
        self.writes += updates
        self.batches += 1
        if Quirk.SLOW in self.quirks:
            time.sleep(SLOW_S)
        if Quirk.FORGETS in self.quirks:
            return {}
        if Quirk.PARTIAL_BATCH in self.quirks and self.batches == 1:
            self.each(updates[: len(updates) // 2])
            raise Refused(code.UNKNOWN, "something went wrong in the middle")
        return self.each(updates)

    def each(self, updates: list[Message]) -> dict[int, EntityError]:
        failed = {}
        for i, update in enumerate(updates):
            try:
                self.sabotage(update)
                self.state.apply(update)
            except EntityError as error:
                failed[i] = error
        return failed

    def sabotage(self, update: Message) -> None:
        """Raises EntityError for every third INSERT into acl."""
        is_acl = update.entity.table_entry.table_id == self.state.schema.table("acl").id
        if Quirk.FAILS_ENTRIES in self.quirks and is_acl and update.type == v1.Update.INSERT:
            self.inserted += 1
            if self.inserted % 3 == 0:
                raise invalid("the hardware has no room for this mask")

    def counters(self) -> Counters:
        return {}

    def wipe(self) -> None:
        self.state.clear()


class DplService(Service):
    """The service, with what the calls themselves refuse or leave unsaid."""

    def __init__(self, tables: DplTables, options: ServerOptions) -> None:
        super().__init__(tables, options)
        self.quirks = tables.quirks
        self.has_pipeline = Quirk.NO_PIPELINE not in self.quirks
        self.pushes = 0
        self.streams_open: list[grpc.ServicerContext] = []

    def Capabilities(self, request: Message, context: grpc.ServicerContext) -> Message:
        if Quirk.NO_CAPABILITIES in self.quirks:
            refuse(context, Refused(code.UNIMPLEMENTED, "Capabilities is not supported"))
        return super().Capabilities(request, context)

    def may_write(self, request: Message) -> None:
        if Quirk.ANY_WRITER not in self.quirks:
            super().may_write(request)

    def check_batch(self, request: Message) -> None:
        if not self.has_pipeline:
            raise Refused(code.FAILED_PRECONDITION, "no pipeline is loaded")
        super().check_batch(request)

    def Write(self, request: Message, context: grpc.ServicerContext) -> Message:
        try:
            return super().Write(request, context)
        finally:
            if Quirk.DROPS_STREAM in self.quirks:
                self.drop_streams()

    def drop_streams(self) -> None:
        """Ends every stream."""
        while self.streams_open:
            self.streams_open.pop().cancel()

    def Read(self, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        kinds = {entity.WhichOneof("entity") for entity in request.entities}
        if Quirk.NO_COUNTER_READ in self.quirks and "counter_entry" in kinds:
            refuse(context, Refused(code.UNIMPLEMENTED, "counters cannot be read"))
        acl = self.tables.state.schema.table("acl").id
        left_out = Quirk.LIES_AT_READ not in self.quirks
        for reply in super().Read(request, context):
            for i, entity in enumerate(reply.entities):
                if not left_out and entity.table_entry.table_id == acl:
                    del reply.entities[i]
                    left_out = True
                    break
            yield reply

    def GetForwardingPipelineConfig(self, request: Message, context: grpc.ServicerContext) -> Message:
        if not self.has_pipeline:
            return v1.GetForwardingPipelineConfigResponse()
        return super().GetForwardingPipelineConfig(request, context)

    def verify(self, request: Message) -> None:
        """Takes any P4Info whose sizes it can have, with a device config."""
        found: Message = request.config.p4info
        sizes = {table.size for table in found.tables}
        if Quirk.POWER_OF_TWO_SIZES in self.quirks and any(size & (size - 1) for size in sizes):
            raise Refused(code.INVALID_ARGUMENT, "the size of a table has to be a power of two")
        self.pushes += 1
        self.has_pipeline = True

    def StreamChannel(self, requests: Iterable[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        if Quirk.ONE_CONTROLLER in self.quirks and self.streams:
            refuse(context, Refused(code.RESOURCE_EXHAUSTED, "one controller is connected already"))
        self.streams_open.append(context)
        yield from super().StreamChannel(requests, context)

    def hear(self, outbox: object, request: Message) -> None:
        if request.WhichOneof("update") == "arbitration":
            if Quirk.ENDS_STREAM_ON_ARBITRATION in self.quirks:
                outbox.end()  # type: ignore[attr-defined]  # an Outbox
                return
            if Quirk.NO_ARBITRATION in self.quirks:
                return
        super().hear(outbox, request)  # type: ignore[arg-type]  # an Outbox


def small_schema() -> schema.Schema:
    """Our P4Info with the sizes of a small device."""
    p4info = config.P4Info()
    p4info.CopyFrom(schema.load().p4info)
    for table in p4info.tables:
        if table.preamble.name in ("acl", "vip", "reverse"):
            table.size = 64
    return schema.from_message(p4info)


class DplLike:
    """The server, running. `key` helps tests to change what it holds behind everybody's back."""

    def __init__(
        self, quirks: Iterable[Quirk] = DPL_QUIRKS, *, found: schema.Schema | None = None, port: int = 0
    ) -> None:
        self.tables = DplTables(found or schema.load(), frozenset(quirks))
        self.options = ServerOptions(address=f"127.0.0.1:{port}", plaintext=True, arbitration_wait_s=3_600)
        self.service = DplService(self.tables, self.options)
        self.server = Server(self.service, self.options)
        self.address = f"127.0.0.1:{self.server.port}"

    @property
    def quirks(self) -> frozenset[Quirk]:
        return self.tables.quirks

    @quirks.setter
    def quirks(self, quirks: Iterable[Quirk]) -> None:
        self.tables.quirks = self.tables.state.quirks = self.service.quirks = frozenset(quirks)

    def entries(self, table: str) -> dict[Key, Call]:
        """What a table holds."""
        return self.tables.state.entries[table]

    def close(self) -> None:
        self.server.close()
