"""A server in front of a back end in memory, and raw calls to it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from dpu_app.p4rt import schema, server
from dpu_app.p4rt.arbitration import uint128
from dpu_app.p4rt.codec import Call, Key, encode
from dpu_app.p4rt.errors import entry_errors
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.meters import Rate, encode_cell
from dpu_app.p4rt.options import ServerOptions
from dpu_app.p4rt.stubs import Message, P4RuntimeStub, v1

SCHEMA = schema.load()
INSERT, MODIFY, DELETE = v1.Update.INSERT, v1.Update.MODIFY, v1.Update.DELETE
TIMEOUT_S = 10.0


class Stream:
    """One controller's stream."""

    def __init__(self, stub: Any) -> None:
        self.outgoing: queue.Queue[Message | None] = queue.Queue()
        self.call = stub.StreamChannel(iter(self.outgoing.get, None), timeout=TIMEOUT_S)

    def send(self, **update: Message) -> None:
        self.outgoing.put(v1.StreamMessageRequest(**update))

    def bid(self, election_id: int | None, device_id: int = 1, role: str = "") -> None:
        update = v1.MasterArbitrationUpdate(device_id=device_id)
        if election_id is not None:
            update.election_id.CopyFrom(uint128(election_id))
        if role:
            update.role.name = role
        self.send(arbitration=update)

    def hear(self) -> Message:
        return next(self.call)

    def code(self) -> grpc.StatusCode:
        """How the stream ended."""
        try:
            while True:
                next(self.call)
        except StopIteration:
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return failed(error)[0]

    def close(self) -> None:
        self.outgoing.put(None)


def failed(raised: object) -> tuple[grpc.StatusCode, str]:
    """Code and text of an RpcError."""
    error: Any = raised
    return error.code(), error.details()


class Wire:
    """Raw calls, as the primary with election id 1 once `bid` was called."""

    def __init__(self, port: int, backend: MemoryBackend, service: Any) -> None:
        self.backend = backend
        self.service = service
        self.channel_address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self.channel_address, options=(("grpc.use_local_subchannel_pool", 1),))
        self.stub: Any = P4RuntimeStub(self.channel)
        self.streams: list[Stream] = []

    def stream(self) -> Stream:
        self.streams.append(Stream(self.stub))
        return self.streams[-1]

    def bid(self, election_id: int = 1) -> Stream:
        stream = self.stream()
        stream.bid(election_id)
        stream.hear()
        return stream

    def write(self, *updates: Message, **fields: Any) -> list[tuple[int, str]]:
        """Code and text for each update; raises grpc.RpcError where the call was refused as a whole."""
        request = v1.WriteRequest(**{"device_id": 1, "election_id": uint128(1), "updates": updates, **fields})
        try:
            self.stub.Write(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            found = entry_errors(error, len(updates))
            if found is None:
                raise
            return [(item.canonical_code, item.message) for item in found]
        return [(0, "")] * len(updates)

    def read(self, *entities: Message, **fields: Any) -> list[Message]:
        request = v1.ReadRequest(**{"device_id": 1, "entities": entities, **fields})
        return [entity for reply in self.stub.Read(request, timeout=TIMEOUT_S) for entity in reply.entities]


def entry(kind: int, key: Key, call: Call | None = None) -> Message:
    return v1.Update(type=kind, entity=v1.Entity(table_entry=encode(SCHEMA, key, call)))


def cell(meter: str, index: int, rate: Rate | None) -> Message:
    return v1.Update(type=MODIFY, entity=v1.Entity(meter_entry=encode_cell(SCHEMA.meter(meter), index, rate)))


@contextmanager
def serving(**options: Any) -> Iterator[Wire]:
    backend = options.pop("backend", None) or MemoryBackend()
    given = ServerOptions(**{"address": "127.0.0.1:0", "plaintext": True, **options})
    running = server.serve(backend, given)
    wire = Wire(running.port, backend, running.service)
    try:
        yield wire
    finally:
        for stream in wire.streams:
            stream.close()
        wire.channel.close()
        running.close()
