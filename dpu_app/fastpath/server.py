"""The FastPath service over a Unix socket: how the agent programs this process."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import structlog

from dpu_app.fastpath import status
from dpu_app.fastpath.protocol import Native
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from dpu_proto.fastpath.v1.fastpath_pb2_grpc import FastPathServicer, add_FastPathServicer_to_server

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="fastpath")
# One agent and somebody who looks: calls beyond that are refused, not queued.
CALLS_MAX = 8
MESSAGE_BYTES_MAX = 67_108_864
SOCKET_PATH_BYTES_MAX = 107  # sun_path of unix(7), without its terminating zero
CLOSE_GRACE_S = 1.0


class Service(FastPathServicer):
    """Passes calls on to the native request path."""

    def __init__(self, native: Native, on_drain: Callable[[int], None]) -> None:
        """`on_drain` gets the timeout in milliseconds; the process drains and ends after it returned."""
        self.native = native
        self.on_drain = on_drain
        self.drain_timeout_ms = 0
        """The longest that a listener of the programmed plan gives its requests; 0 before the first plan."""

    def Apply(self, request: pb.ApplyRequest, context: grpc.ServicerContext) -> pb.ApplyReply:
        """The whole plan or nothing; a refusal is an ordinary reply."""
        data = request.plan.SerializeToString(deterministic=True)
        applied, changed, epoch, found = self.native.apply(data)
        if applied:
            times = [listener.limits.drain_timeout_ms for listener in request.plan.listeners]
            self.drain_timeout_ms = max(times, default=0)
        problems = [pb.Problem(entry=entry, what=what, fix=fix) for entry, what, fix in found]
        asked = {"revision": request.plan.revision, "epoch": request.plan.epoch}
        log.info("plan", applied=applied, changed=changed, problems=[f"{p.entry}: {p.what}" for p in problems], **asked)
        return pb.ApplyReply(applied=applied, changed=changed, epoch=epoch, problems=problems)

    def Status(self, request: pb.StatusRequest, context: grpc.ServicerContext) -> pb.StatusReply:
        """What is programmed, by the native side's own word."""
        return status.reply(self.native.status())

    def Drain(self, request: pb.DrainRequest, context: grpc.ServicerContext) -> pb.DrainReply:
        """Answers at once; the process then drains and ends."""
        log.info("drain asked for", timeout_ms=request.timeout_ms)
        self.on_drain(request.timeout_ms)
        return pb.DrainReply()


class ServerError(Exception):
    """The socket cannot be used."""


class Server:
    """Serves from construction to `close`. The socket has mode 0600: who may program is who owns the process."""

    def __init__(self, path: str, service: Service) -> None:
        """Raises ServerError."""
        self.path = Path(path).absolute()
        make_way(self.path)
        options = (
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        )
        self.pool = ThreadPoolExecutor(max_workers=CALLS_MAX, thread_name_prefix="service")
        self.server = grpc.server(self.pool, options=options, maximum_concurrent_rpcs=CALLS_MAX)
        add_FastPathServicer_to_server(service, self.server)
        self.bind()
        self.server.start()

    def bind(self) -> None:
        """Binds the socket so that it is never open to others, not for a moment. Raises ServerError."""
        before = os.umask(0o177)
        try:
            self.server.add_insecure_port(f"unix:{self.path}")
        except RuntimeError as error:
            raise ServerError(f"cannot listen on {self.path}: {error}") from error
        finally:
            os.umask(before)
        os.chmod(self.path, 0o600)

    def close(self) -> None:
        """Ends running calls after a moment and removes the socket."""
        self.server.stop(CLOSE_GRACE_S).wait()
        self.pool.shutdown()
        self.path.unlink(missing_ok=True)


def make_way(path: Path) -> None:
    """Removes the socket of a process that is gone. Raises ServerError where one answers, or it is no socket."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ServerError(f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes that a socket's path may have")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServerError(f"{path} exists and is not a socket: choose another --socket")
    if is_answered(path):
        raise ServerError(f"another process listens on {path}: stop it, or choose another --socket")
    path.unlink(missing_ok=True)


def is_answered(path: Path) -> bool:
    """Whether somebody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
