"""The stream between a controller and its device: arbitration, packets, idle notices. One thread reads it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import structlog

from dpu_app.p4rt.arbitration import uint128
from dpu_app.p4rt.errors import explain
from dpu_app.p4rt.options import ClientOptions
from dpu_app.p4rt.stubs import Message, code, v1

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")
OUTGOING_MAX = 1_024


class Inbox:
    """What came over the stream and was not fetched yet; what finds it full is lost, and counted."""

    def __init__(self, size: int) -> None:
        self.packets: queue.Queue[Message] = queue.Queue(size)
        self.idle: queue.Queue[Message] = queue.Queue(size)
        self.lost = 0

    def put(self, where: queue.Queue[Message], message: Message) -> None:
        """Keeps one message."""
        try:
            where.put_nowait(message)
        except queue.Full:
            self.lost += 1


class Stream:
    """One StreamChannel from construction to `close`. `ended` says why it is over, empty while it runs."""

    def __init__(self, stub: Any, options: ClientOptions, inbox: Inbox) -> None:
        self.options = options
        self.inbox = inbox
        self.outgoing: queue.Queue[Message | None] = queue.Queue(OUTGOING_MAX)
        self.is_primary: bool | None = None
        """What the device said last; None where it said nothing."""
        self.primary_text = ""
        self.ended = ""
        self.error: Exception | None = None
        self._changed = threading.Event()
        self.outgoing.put(self.arbitration())
        self.call = stub.StreamChannel(self.requests())
        self.thread = threading.Thread(target=self.read, name="p4rt-stream", daemon=True)
        self.thread.start()

    def arbitration(self) -> Message:
        """Our bid to be primary."""
        update = v1.MasterArbitrationUpdate(device_id=self.options.device_id)
        update.election_id.CopyFrom(uint128(self.options.election_id))
        return v1.StreamMessageRequest(arbitration=update)

    def wait(self, timeout_s: float) -> None:
        """Returns when the device answered the arbitration, the stream ended, or the time is over."""
        self._changed.wait(timeout_s)

    def send(self, message: Message) -> bool:
        """False where too much waits already."""
        try:
            self.outgoing.put_nowait(message)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Ends the stream."""
        self.call.cancel()
        self.end("closed")

    # --- the stream's own threads ------------------------------------------------------------------

    def requests(self) -> Iterator[Message]:
        """What gRPC sends; it fetches this in a thread of its own."""
        while (message := self.outgoing.get()) is not None:
            yield message

    def read(self) -> None:
        """Reads until the stream ends."""
        try:
            for message in self.call:
                self.hear(message)
            self.end("the device ended the stream")
        except grpc.RpcError as error:
            self.error = explain(error, "the stream", self.options.address)
            self.end(str(self.error))

    def end(self, why: str) -> None:
        """Says why it is over; the first reason stays."""
        self.ended = self.ended or why
        self._changed.set()
        try:
            self.outgoing.put_nowait(None)
        except queue.Full:
            pass  # gRPC stops fetching when the call is over

    def hear(self, message: Message) -> None:
        """One message of the device."""
        kind = message.WhichOneof("update")
        if kind == "arbitration":
            self.decide(message.arbitration)
        elif kind == "packet":
            self.inbox.put(self.inbox.packets, message.packet)
        elif kind == "idle_timeout_notification":
            for entry in message.idle_timeout_notification.table_entry:
                self.inbox.put(self.inbox.idle, entry)
        elif kind == "error":
            log.warning("the device reports an error", code=message.error.canonical_code, what=message.error.message)

    def decide(self, update: Message) -> None:
        """Who is primary."""
        status = update.status
        self.is_primary = status.code == code.OK
        highest = (update.election_id.high << 64) | update.election_id.low
        self.primary_text = f"{status.message or 'not primary'} (highest election id: {highest})"
        self._changed.set()
        log.info("arbitration answered", primary=self.is_primary, highest=highest)
