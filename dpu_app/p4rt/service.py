"""The P4Runtime service over a state: who may call what, and which code an error has. The gRPC side is `server.py`.

Followed is the specification in its version 1.5; numbers in brackets are its sections.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn, Protocol

import grpc
import structlog

from dpu_app.p4rt.arbitration import Arbitration, Controller, StreamRefused, number
from dpu_app.p4rt.backend import BackendError
from dpu_app.p4rt.codec import EntityError
from dpu_app.p4rt.details import entry_details, room_of
from dpu_app.p4rt.errors import DETAILS_KEY
from dpu_app.p4rt.options import ServerOptions
from dpu_app.p4rt.reading import ENTITIES_PER_RESPONSE, Counters, read
from dpu_app.p4rt.state import State
from dpu_app.p4rt.stubs import Message, code, v1

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")
API_VERSION = "1.5.0"
CODES = {item.value[0]: item for item in grpc.StatusCode}
LIMITS = ("streams", "updates", "entities", "results", "stream_messages", "arbitration_wait")
"""The bounds of ServerOptions whose hits are counted."""


class Tables(Protocol):
    """The state behind the service; `XdpState` for XDP. Called by one thread at a time. May raise BackendError."""

    @property
    def state(self) -> State:
        """What reads are answered from, after `refresh`."""
        ...

    def refresh(self) -> None:
        """Brings `state` up to date."""
        ...

    def why_not_writable(self) -> str:
        """Why nobody may write now; empty where the primary may."""
        ...

    def batch(self, updates: list[Message]) -> dict[int, EntityError]:
        """Does a batch; place -> why that update did not happen."""
        ...

    def counters(self) -> Counters:
        """Reason -> frames and bytes."""
        ...

    def wipe(self) -> None:
        """As after the pipeline was loaded."""
        ...


class Refused(Exception):
    """A whole call is refused with this canonical code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Outbox(Controller):
    """A controller's stream, with what waits to be sent to it; None ends the stream."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.messages: queue.Queue[Message | StreamRefused | None] = queue.Queue(size + 1)
        self.size = size

    def send(self, **update: Message) -> bool:
        """False where the controller does not read: there is no room."""
        if self.messages.qsize() >= self.size:
            return False
        self.messages.put_nowait(v1.StreamMessageResponse(**update))
        return True

    def end(self, why: StreamRefused | None = None) -> None:
        """Ends the stream; what was not sent yet is dropped where there is no room to say so."""
        while True:
            try:
                self.messages.put_nowait(why)
                return
            except queue.Full:
                self.messages.get_nowait()


class Service:
    """One device. `hits` counts what met a bound."""

    def __init__(self, tables: Tables, options: ServerOptions) -> None:
        self.tables = tables
        self.options = options
        self.arbitration = Arbitration(options.device_id)
        self.streams = 0
        self.hits: Counter[str] = Counter()
        self.config = v1.ForwardingPipelineConfig(p4info=tables.state.schema.p4info)
        # What our own client, and whoever hashes the same way, would give it: a new start wipes nothing.
        self.config.cookie.cookie = tables.state.schema.cookie()
        self.saved: Message | None = None
        self.lock = threading.Lock()
        """Held for a whole batch: a new primary waits until what the one before began is done."""

    # --- the calls of the service ------------------------------------------------------------------

    def Capabilities(self, request: Message, context: grpc.ServicerContext) -> Message:
        """The version of the API."""
        return v1.CapabilitiesResponse(p4runtime_api_version=API_VERSION)

    def Write(self, request: Message, context: grpc.ServicerContext) -> Message:
        """A batch [12]. Errors of single entries are in the details of the status, one for each."""
        try:
            with self.lock:
                self.may_write(request)
                self.check_batch(request)
                failed = self.tables.batch(list(request.updates))
        except (Refused, BackendError) as error:
            refuse(context, error)
        if failed:
            message, details = entry_details(len(request.updates), failed, room_of(context))
            if details:
                context.set_trailing_metadata(((DETAILS_KEY, details),))
            context.abort(grpc.StatusCode.UNKNOWN, message)
        return v1.WriteResponse()

    def Read(self, request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        """Entities [13], some hundred in a message. Made while they are sent, and others may write meanwhile."""
        try:
            with self.lock:
                self.may_read(request)
                self.tables.refresh()
                counters = dict(self.tables.counters()) if wants_counters(request) else {}
                state = self.tables.state.snapshot()
            found = self.bounded(item for wanted in request.entities for item in read(state, counters, wanted))
            while part := list(islice(found, ENTITIES_PER_RESPONSE)):
                yield v1.ReadResponse(entities=part)
        except (Refused, BackendError, EntityError) as error:
            refuse(context, error)

    def SetForwardingPipelineConfig(self, request: Message, context: grpc.ServicerContext) -> Message:
        """Takes our own P4Info and nothing else [14]; a commit empties the tables."""
        try:
            with self.lock:
                self.may_write(request)
                self.set_pipeline(request)
        except (Refused, BackendError) as error:
            refuse(context, error)
        return v1.SetForwardingPipelineConfigResponse()

    def GetForwardingPipelineConfig(self, request: Message, context: grpc.ServicerContext) -> Message:
        """The P4Info and the cookie [15]; there is no device config."""
        if request.device_id != self.options.device_id:
            refuse(context, self.no_device(request.device_id))
        kinds = v1.GetForwardingPipelineConfigRequest
        with self.lock:
            reply = v1.GetForwardingPipelineConfigResponse(config=self.config)
        if request.response_type in (kinds.COOKIE_ONLY, kinds.DEVICE_CONFIG_AND_COOKIE):
            reply.config.ClearField("p4info")
        return reply

    def StreamChannel(self, requests: Iterable[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        """A controller [16]: arbitration in, notices out."""
        outbox = Outbox(self.options.stream_messages_max)
        with self.lock:
            full = self.streams >= self.options.streams_max
            self.hits["streams"] += full
            self.streams += not full
        if full:
            refuse(
                context, Refused(code.RESOURCE_EXHAUSTED, f"{self.options.streams_max} controllers are here already")
            )
        context.add_callback(outbox.end)
        threading.Thread(target=self.listen, args=(outbox, requests), name="p4rt-stream", daemon=True).start()
        try:
            yield from self.outgoing(outbox, context)
        finally:
            with self.lock:
                self.streams -= 1
                self.send(self.arbitration.gone(outbox))

    # --- what is behind them -----------------------------------------------------------------------

    def may_read(self, request: Message) -> None:
        """Raises Refused."""
        if request.device_id != self.options.device_id:
            raise self.no_device(request.device_id)
        if request.role:
            raise Refused(code.NOT_FOUND, f"there is no role '{request.role}', only the default one: leave it out")
        if len(getattr(request, "entities", ())) > self.options.entities_max:
            self.hits["entities"] += 1
            raise Refused(code.RESOURCE_EXHAUSTED, f"more than {self.options.entities_max} entities in one Read")

    def bounded(self, found: Iterable[Message]) -> Iterator[Message]:
        """The answers to one Read, up to the bound. Raises Refused beyond it."""
        for count, item in enumerate(found):
            if count >= self.options.results_max:
                self.hits["results"] += 1
                what = f"more than {self.options.results_max} entities in the answers to one Read: send several"
                raise Refused(code.RESOURCE_EXHAUSTED, what)
            yield item

    def may_write(self, request: Message) -> None:
        """The checks of [12] in their order. Raises Refused."""
        self.may_read(request)
        if request.role_id:
            raise Refused(code.NOT_FOUND, f"there is no role {request.role_id}, only the default one: leave it out")
        election_id = number(request.election_id) if request.HasField("election_id") else None
        if not self.arbitration.may_write(election_id):
            highest = self.arbitration.highest
            who = "nobody is primary" if self.arbitration.primary is None else "another controller is primary"
            what = f"election id {election_id} may not write: {who} (highest so far: {highest})"
            raise Refused(code.PERMISSION_DENIED, what)
        why_not = self.tables.why_not_writable()
        if why_not:
            raise Refused(code.FAILED_PRECONDITION, why_not)

    def check_batch(self, request: Message) -> None:
        """Raises Refused."""
        if request.atomicity != v1.WriteRequest.CONTINUE_ON_ERROR:
            raise Refused(
                code.UNIMPLEMENTED, "the atomicity of a batch is CONTINUE_ON_ERROR; nothing else is supported"
            )
        if len(request.updates) > self.options.updates_max:
            self.hits["updates"] += 1
            what = f"{len(request.updates)} updates are more than the {self.options.updates_max} of one Write"
            raise Refused(code.RESOURCE_EXHAUSTED, f"{what}: send several")

    def set_pipeline(self, request: Message) -> None:
        """One of the actions of [14]. Raises Refused."""
        actions = v1.SetForwardingPipelineConfigRequest
        if request.action == actions.COMMIT:
            if request.HasField("config"):
                raise Refused(code.INVALID_ARGUMENT, "COMMIT takes the saved config: leave 'config' out")
            if self.saved is None:
                raise Refused(code.NOT_FOUND, "nothing was saved: VERIFY_AND_SAVE comes first")
            self.config, self.saved = self.saved, None
            return
        known = (actions.VERIFY, actions.VERIFY_AND_SAVE, actions.VERIFY_AND_COMMIT, actions.RECONCILE_AND_COMMIT)
        if request.action not in known:
            raise Refused(code.INVALID_ARGUMENT, "name an action, such as VERIFY_AND_COMMIT")
        self.verify(request)
        if request.action == actions.VERIFY_AND_SAVE:
            self.saved = request.config
        elif request.action != actions.VERIFY:
            if request.action == actions.VERIFY_AND_COMMIT:
                self.tables.wipe()
            self.config, self.saved = request.config, None

    def verify(self, request: Message) -> None:
        """Raises Refused for anything but our own P4Info."""
        if not request.HasField("config") or not request.config.HasField("p4info"):
            raise Refused(code.INVALID_ARGUMENT, "the config has no P4Info: GetForwardingPipelineConfig gives ours")
        if request.config.p4info != self.config.p4info:
            what = "this pipeline is fixed: only its own P4Info is taken (GetForwardingPipelineConfig gives it)"
            raise Refused(code.INVALID_ARGUMENT, what)
        if request.config.p4_device_config:
            raise Refused(code.INVALID_ARGUMENT, "this pipeline takes no device config: leave it empty")

    def no_device(self, device_id: int) -> Refused:
        """The answer to another device's id."""
        return Refused(code.NOT_FOUND, f"there is no device {device_id} here: use {self.options.device_id}")

    def outgoing(self, outbox: Outbox, context: grpc.ServicerContext) -> Iterator[Message]:
        """What the stream sends until it ends."""
        due_at = time.monotonic() + self.options.arbitration_wait_s
        while (message := self.next_message(outbox, due_at)) is not None:
            if isinstance(message, StreamRefused):
                refuse(context, message)
            yield message

    def next_message(self, outbox: Outbox, due_at: float) -> Message | StreamRefused | None:
        """Waits for what is to be sent; a stream without an arbitration ends: others want its place."""
        while not outbox.live:
            try:
                return outbox.messages.get(timeout=max(due_at - time.monotonic(), 0))
            except queue.Empty:
                if not outbox.live:
                    self.hits["arbitration_wait"] += 1
                    what = f"no arbitration within {self.options.arbitration_wait_s:g} s: send one first"
                    return StreamRefused(code.DEADLINE_EXCEEDED, what)
        return outbox.messages.get()

    def listen(self, outbox: Outbox, requests: Iterable[Message]) -> None:
        """Reads a stream until it ends, in a thread of its own."""
        try:
            for request in requests:
                self.hear(outbox, request)
        except StreamRefused as error:
            outbox.end(error)
        except grpc.RpcError:
            pass  # the controller is gone
        finally:
            outbox.end()

    def hear(self, outbox: Outbox, request: Message) -> None:
        """One message of a controller. Raises StreamRefused."""
        kind = request.WhichOneof("update")
        if kind == "arbitration":
            with self.lock:
                self.send(self.arbitration.update(outbox, request.arbitration))
                log.info("arbitration", election_id=outbox.election_id, primary=self.arbitration.primary is outbox)
            return
        error = v1.StreamError(canonical_code=code.UNIMPLEMENTED, message=f"{kind or 'nothing'} is not supported here")
        if kind == "packet":
            error.packet_out.SetInParent()
        elif kind == "digest_ack":
            error.digest_list_ack.SetInParent()
        else:
            error.other.SetInParent()
        outbox.send(error=error)

    def send(self, notices: Iterable[tuple[Any, Message]]) -> None:
        """Sends notices; the stream of a controller that does not read ends."""
        for outbox, message in notices:
            if not outbox.send(arbitration=message):
                self.hits["stream_messages"] += 1
                outbox.end(StreamRefused(code.RESOURCE_EXHAUSTED, "notices were not read in time"))


def wants_counters(request: Message) -> bool:
    """Whether the back end has to be asked for its counters."""
    return any(entity.WhichOneof("entity") == "counter_entry" for entity in request.entities)


def refuse(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """Ends a call with the code of an error; what has none is INTERNAL."""
    context.abort(CODES[getattr(error, "status", code.INTERNAL)], str(error))
