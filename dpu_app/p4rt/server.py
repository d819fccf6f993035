"""The P4Runtime server in front of XDP, on a socket of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

from dpu_app.p4rt import schema, stubs
from dpu_app.p4rt.backend import Backend
from dpu_app.p4rt.codec import EntityError
from dpu_app.p4rt.options import OptionsError, ServerOptions, server_credentials
from dpu_app.p4rt.reading import Counters
from dpu_app.p4rt.service import Service
from dpu_app.p4rt.state import State
from dpu_app.p4rt.stubs import Message
from dpu_app.p4rt.xdp_state import XdpState

CLOSE_GRACE_S = 1.0
KEEPALIVE_MS = 20_000
NOT_WRITABLE = (
    "the agent programs these tables from its file (packet.programmed_by is agent): they can be read, not written; "
    "set packet.programmed_by: p4runtime to give them to a controller"
)


class XdpTables:
    """What the service asks of XDP; see `service.Tables`."""

    def __init__(self, found: schema.Schema, backend: Backend) -> None:
        self.xdp = XdpState(found, backend)
        self.backend = backend

    @property
    def state(self) -> State:
        """See Tables."""
        return self.xdp

    def refresh(self) -> None:
        """See Tables."""
        self.xdp.refresh()

    def why_not_writable(self) -> str:
        """See Tables."""
        return "" if self.backend.writable else NOT_WRITABLE

    def batch(self, updates: list[Message]) -> dict[int, EntityError]:
        """See Tables."""
        return self.xdp.batch(updates)

    def counters(self) -> Counters:
        """See Tables."""
        return self.backend.counters()

    def wipe(self) -> None:
        """See Tables."""
        self.xdp.wipe()


class Server:
    """Serves from construction to `close`."""

    def __init__(self, service: Service, options: ServerOptions) -> None:
        """Raises OptionsError where the address or the certificate cannot be used."""
        self.service = service
        calls = options.streams_max + options.calls_max
        # One more for the stream that is one too many: it is told so.
        self.pool = ThreadPoolExecutor(max_workers=calls + 1, thread_name_prefix="p4rt")
        bounds = (
            ("grpc.max_receive_message_length", options.message_bytes_max),
            ("grpc.max_send_message_length", options.message_bytes_max),
            ("grpc.so_reuseport", 0),
            # A controller whose machine died does not say goodbye, and would stay the primary.
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_MS),
        )
        self.server = grpc.server(self.pool, options=bounds, maximum_concurrent_rpcs=calls + 1)
        stubs.add_servicer(service, self.server)
        self.port = self.bind(options)
        self.server.start()

    def bind(self, options: ServerOptions) -> int:
        """The port that is listened on. Raises OptionsError."""
        try:
            if options.plaintext:
                return self.server.add_insecure_port(options.address)
            return self.server.add_secure_port(options.address, server_credentials(options.tls))
        except RuntimeError as error:
            raise OptionsError(f"cannot listen on {options.address}: {error}") from error

    def close(self) -> None:
        """Ends streams and calls after a moment."""
        self.server.stop(CLOSE_GRACE_S).wait()
        self.pool.shutdown()


def serve(backend: Backend, options: ServerOptions) -> Server:
    """A server in front of `backend`. Raises OptionsError, or SchemaError where there is no P4Info."""
    tables = XdpTables(schema.load(options.p4info), backend)
    return Server(Service(tables, options), options)
