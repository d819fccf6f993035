"""A P4Runtime client: sessions that come back by themselves, batches with an error for each entry, reads that end.

One thread at a time uses it; the stream has its own. Every call has a deadline.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import grpc
import structlog

from dpu_app.p4rt import pipeline
from dpu_app.p4rt.arbitration import uint128
from dpu_app.p4rt.codec import Call, EntityError, Entries, Key, decode_call, decode_key, encode, text, to_bytes
from dpu_app.p4rt.errors import (
    DETAILS_ROOM_KEY,
    NotPrimary,
    Refused,
    Unavailable,
    code_name,
    entry_errors,
    explain,
    status_of,
)
from dpu_app.p4rt.meters import Rate, encode_cell
from dpu_app.p4rt.options import ClientOptions, client_credentials, content
from dpu_app.p4rt.schema import Schema
from dpu_app.p4rt.stream import Inbox, Stream
from dpu_app.p4rt.stubs import Message, P4RuntimeStub, code, v1

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")
INSERT, MODIFY, DELETE = 1, 2, 3
UPDATE_OVERHEAD_BYTES = 8
METADATA_BYTES_MAX = 4_194_304
"""The errors of a batch come in the trailers: some hundred bytes for each entry."""
DETAILS_ROOM = ((DETAILS_ROOM_KEY, str(METADATA_BYTES_MAX // 2)),)
Reply = TypeVar("Reply")


class EntryUpdate(NamedTuple):
    """An entry to insert, modify or delete; without a match it is the default entry, which can be modified only."""

    type: int
    key: Key
    call: Call | None = None
    idle_timeout_ns: int = 0


class CellUpdate(NamedTuple):
    """A meter cell and its rate; None lets everything through."""

    meter: str
    cell: int
    rate: Rate | None


Update = EntryUpdate | CellUpdate


class Failure(NamedTuple):
    """An update that the device did not do, and why; `status` is a canonical code."""

    update: Update
    status: int
    message: str


class Client:
    """One device. `session` rises with every new connection: what was known of the device has to be read again."""

    def __init__(self, options: ClientOptions, schema: Schema, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises OptionsError where a file of the options cannot be read."""
        self.options = options
        self.schema = schema
        self.device_config = content(options.device_config)
        self.inbox = Inbox(options.notices_max)
        self.session = 0
        self.clock = clock
        self.channel = self._channel()
        self.stub: Any = P4RuntimeStub(self.channel)
        self.stream: Stream | None = None
        self.is_up = False
        self.due_at = 0.0
        self.delay_s = 0.0

    # --- sessions ----------------------------------------------------------------------------------

    def connect(self) -> int:
        """The number of the session, which is opened where there is none. Raises ClientError."""
        if self.is_up and self._is_lost():
            log.warning("session lost", address=self.options.address, why=self.stream.ended if self.stream else "")
            self.drop()
        if not self.is_up:
            self._open()
        return self.session

    def drop(self) -> None:
        """Forgets the session; the next call opens another."""
        self.is_up = False
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def close(self) -> None:
        """Ends the session and the connection."""
        self.drop()
        self.channel.close()

    def may_write(self) -> None:
        """Raises NotPrimary where the device said that somebody else is primary."""
        if self.stream is not None and self.stream.is_primary is False:
            raise NotPrimary(f"{self.options.address}: {self.stream.primary_text}")

    def _channel(self) -> grpc.Channel:
        options = (
            ("grpc.max_send_message_length", self.options.message_bytes_max),
            ("grpc.max_receive_message_length", self.options.message_bytes_max),
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.initial_reconnect_backoff_ms", int(self.options.reconnect_first_s * 1000)),
            ("grpc.min_reconnect_backoff_ms", int(self.options.reconnect_first_s * 1000)),
            ("grpc.max_reconnect_backoff_ms", int(self.options.reconnect_last_s * 1000)),
            # Two clients in one process are two controllers: they do not share a connection.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        )
        if self.options.plaintext:
            return grpc.insecure_channel(self.options.address, options=options)
        if self.options.server_name:
            options += (("grpc.ssl_target_name_override", self.options.server_name),)  # type: ignore[assignment]  # longer
        return grpc.secure_channel(self.options.address, client_credentials(self.options.tls), options=options)

    def _is_lost(self) -> bool:
        return self.stream is not None and bool(self.stream.ended)

    def _open(self) -> None:
        """Opens a session, not more often than the back-off allows. Raises ClientError."""
        now = self.clock()
        if now < self.due_at:
            raise Unavailable(f"{self.options.address} is away; the next attempt is in {self.due_at - now:.1f} s")
        try:
            self._arbitrate()
            pipeline.ensure(self)
        except Exception:
            self.drop()
            self.delay_s = min(max(self.delay_s * 2, self.options.reconnect_first_s), self.options.reconnect_last_s)
            self.due_at = self.clock() + self.delay_s
            raise
        self.delay_s = self.due_at = 0.0
        self.is_up = True
        self.session += 1
        log.info("session", address=self.options.address, number=self.session)

    def _arbitrate(self) -> None:
        """Opens the stream and bids. Raises Unavailable."""
        if self.options.arbitration == "off":
            return
        stream = self.stream = Stream(self.stub, self.options, self.inbox)
        stream.wait(self.options.arbitration_timeout_s)
        if self.options.arbitration == "required" and stream.is_primary is None:
            if stream.error is not None:
                raise stream.error
            raise Unavailable(
                f"{self.options.address} did not answer the arbitration (fix: arbitration 'try' or 'off')"
            )
        if stream.is_primary is None and stream.ended:
            # A device without arbitration may end the stream: then there is none. One that is away is away.
            if isinstance(stream.error, Unavailable) and not isinstance(stream.error, NotPrimary):
                raise stream.error
            log.info("the device has no stream", why=stream.ended)
            self.stream = None

    # --- writing -----------------------------------------------------------------------------------

    def write(self, updates: Iterable[Update]) -> list[Failure]:
        """Sends updates in batches; the ones that failed. Order within one call is not kept by devices.

        Raises Unavailable (not known what was done) or Refused (of the batch that was refused, nothing was done).
        """
        self.connect()
        self.may_write()
        return [failure for batch in self.batches(updates) for failure in self._write_again(batch)]

    def batches(self, updates: Iterable[Update]) -> Iterator[list[tuple[Update, Message]]]:
        """Updates with their messages, as many as fit into one Write."""
        batch: list[tuple[Update, Message]] = []
        size = 0
        for update in updates:
            message = self.message(update)
            octets = message.ByteSize() + UPDATE_OVERHEAD_BYTES
            too_big = size + octets > self.options.batch_bytes_max
            if batch and (too_big or len(batch) >= self.options.batch_entries_max):
                yield batch
                batch, size = [], 0
            batch.append((update, message))
            size += octets
        if batch:
            yield batch

    def message(self, update: Update) -> Message:
        """The Update message."""
        if isinstance(update, CellUpdate):
            cell = encode_cell(self.schema.meter(update.meter), update.cell, update.rate)
            return v1.Update(type=MODIFY, entity=v1.Entity(meter_entry=cell))
        entry = encode(self.schema, update.key, update.call if update.type != DELETE else None)
        entry.idle_timeout_ns = update.idle_timeout_ns
        return v1.Update(type=update.type, entity=v1.Entity(table_entry=entry))

    def _write_again(self, batch: Sequence[tuple[Update, Message]]) -> list[Failure]:
        """One batch; once more where the device did nothing since our stream ended and we did not know it yet."""
        try:
            return self._write(batch)
        except NotPrimary:
            self.connect()
            self.may_write()
            return self._write(batch)

    def _write(self, batch: Sequence[tuple[Update, Message]]) -> list[Failure]:
        request = v1.WriteRequest(device_id=self.options.device_id, updates=[message for _update, message in batch])
        self.sign(request)
        try:
            self.stub.Write(request, timeout=self.options.call_timeout_s, metadata=DETAILS_ROOM)
        except grpc.RpcError as error:
            found = entry_errors(error, len(batch))
            if found is None and status_of(error) is grpc.StatusCode.UNKNOWN:
                raise Unavailable(f"{self.options.address} failed a batch without saying which entries") from error
            if found is None:
                raise self._failed(error, "a Write") from error
            pairs = zip(batch, found, strict=True)
            return [
                Failure(update, item.canonical_code, f"{code_name(item.canonical_code)}: {item.message}")
                for (update, _message), item in pairs
                if item.canonical_code != code.OK
            ]
        return []

    def sign(self, request: Message) -> None:
        """Adds our election id; without arbitration there is none."""
        if self.options.arbitration != "off":
            request.election_id.CopyFrom(uint128(self.options.election_id))

    def describe(self, update: Update) -> str:
        """An update in words."""
        if isinstance(update, CellUpdate):
            return f"{update.meter}[{update.cell}]"
        return text(update.key, self.schema)

    # --- reading -----------------------------------------------------------------------------------

    def read_entries(self, tables: Iterable[str]) -> Entries:
        """The regular entries of tables. Raises ClientError; Unavailable where the device answers with nonsense."""
        names = list(tables)
        wanted = [v1.Entity(table_entry=v1.TableEntry(table_id=self.schema.table(name).id)) for name in names]
        room = sum(self.schema.table(name).size for name in names)
        found: Entries = {}
        for entity in self.read(wanted):
            if entity.WhichOneof("entity") != "table_entry" or entity.table_entry.is_default_action:
                continue
            key, call = self._decoded(entity.table_entry)
            if call is not None:
                found[key] = call
            if len(found) > room:
                raise Unavailable(f"{self.options.address} sends more than the {room} entries that the tables hold")
        return found

    def read_default(self, table: str) -> Call | None:
        """The default entry of a table; None where the device does not say. Raises ClientError."""
        wanted = v1.TableEntry(table_id=self.schema.table(table).id, is_default_action=True)
        for entity in self.read([v1.Entity(table_entry=wanted)]):
            if entity.table_entry.is_default_action:
                return self._decoded(entity.table_entry)[1]
        return None

    def read_cells(self, meter: str, cells: Iterable[int]) -> dict[int, Rate]:
        """The configured ones among cells of a meter. Raises ClientError."""
        array = self.schema.meter(meter)
        wanted = [v1.Entity(meter_entry=encode_cell(array, cell, None)) for cell in cells]
        found: dict[int, Rate] = {}
        for start in range(0, len(wanted), self.options.batch_entries_max):
            for entity in self.read(wanted[start : start + self.options.batch_entries_max]):
                entry = entity.meter_entry
                if entry.meter_id == array.id and entry.HasField("config") and is_rate(entry.config):
                    config = entry.config
                    found[entry.index.index] = Rate(config.cir, config.cburst, config.pir, config.pburst)
        return found

    def read_counters(self, counter: str) -> dict[int, tuple[int, int]]:
        """Index -> packets and bytes, those that are not zero. Raises ClientError."""
        array = self.schema.counter(counter)
        found = {}
        for entity in self.read([v1.Entity(counter_entry=v1.CounterEntry(counter_id=array.id))]):
            data = entity.counter_entry.data
            if data.packet_count or data.byte_count:
                found[entity.counter_entry.index.index] = (data.packet_count, data.byte_count)
        return found

    def read(self, entities: Sequence[Message]) -> Iterator[Message]:
        """The entities of one Read. Raises ClientError."""
        self.connect()
        request = v1.ReadRequest(device_id=self.options.device_id, entities=entities)
        try:
            for reply in self.stub.Read(request, timeout=self.options.read_timeout_s):
                yield from reply.entities
        except grpc.RpcError as error:
            raise self._failed(error, "a Read") from error

    def _decoded(self, entry: Message) -> tuple[Key, Call | None]:
        try:
            key = decode_key(self.schema, entry)
            return key, decode_call(self.schema, entry, default=entry.is_default_action)
        except EntityError as error:
            raise Unavailable(f"{self.options.address} answers with an entry that cannot be: {error}") from error

    # --- packets and idle entries ------------------------------------------------------------------

    def idle_entries(self) -> list[Key]:
        """The keys of entries that the device called idle since this was asked last; unknown ones are left out."""
        keys = []
        while True:
            try:
                keys.append(decode_key(self.schema, self.inbox.idle.get_nowait()))
            except queue.Empty:
                return keys
            except EntityError:
                continue

    def packet_out(self, payload: bytes, **metadata: int) -> None:
        """Sends a frame to the device, with the fields of header `packet_out`. Raises ClientError."""
        self.connect()
        packet = v1.PacketOut(payload=payload)
        for field in self.schema.packet_metadata["packet_out"]:
            packet.metadata.add(metadata_id=field.id, value=to_bytes(metadata[field.name]))
        if self.stream is None or not self.stream.send(v1.StreamMessageRequest(packet=packet)):
            raise Unavailable(f"{self.options.address} has no stream, or it does not keep up")

    def packet_in(self, timeout_s: float) -> tuple[bytes, dict[str, int]] | None:
        """The next frame from the device with the fields of header `packet_in`; None where none came in time."""
        try:
            packet = self.inbox.packets.get(timeout=timeout_s)
        except queue.Empty:
            return None
        values = {item.metadata_id: int.from_bytes(item.value, "big") for item in packet.metadata}
        fields = self.schema.packet_metadata["packet_in"]
        return packet.payload, {field.name: values.get(field.id, 0) for field in fields}

    # --- calls -------------------------------------------------------------------------------------

    def call(self, method: Callable[..., Reply], request: Message, what: str, timeout_s: float) -> Reply:
        """One call with a deadline. Raises ClientError."""
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._failed(error, what) from error

    def _failed(self, error: grpc.RpcError, what: str) -> Exception:
        """The error in words; a session that cannot be used is dropped."""
        found = explain(error, what, self.options.address)
        if not isinstance(found, Refused):
            self.drop()
        return found


def is_rate(config: Message) -> bool:
    """Whether a cell's configuration is one: some devices give the largest numbers for "none"."""
    limit = (1 << 62) - 1
    return bool(0 <= config.cir < limit and 0 <= config.pir < limit and (config.cburst > 0 or config.pburst > 0))
