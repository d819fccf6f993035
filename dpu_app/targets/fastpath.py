"""The fast path as a target: gRPC over its Unix socket, every call with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc

from dpu_app.model.plan import Plan
from dpu_app.model.problem import Problem
from dpu_app.targets import fastpath_plan
from dpu_app.targets.base import Programmed, TargetRefused, TargetUnavailable
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb
from dpu_proto.fastpath.v1.fastpath_pb2_grpc import FastPathStub

# Loading certificates and binding listeners takes milliseconds; a plan with thousands of tenants tens of them for
# each core.
APPLY_TIMEOUT_S = 10.0
STATUS_TIMEOUT_S = 2.0
MESSAGE_BYTES_MAX = 67_108_864
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # gRPC backs off to two minutes by itself; a restarted fast path should have its plan within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A proxy from the environment has no business with a Unix socket.
    ("grpc.enable_http_proxy", 0),
)
Reply = TypeVar("Reply")


class FastPathTarget:
    """One fast path process, reached over `socket`. Timeouts are seconds from call to answer."""

    def __init__(
        self,
        socket: str,
        name: str = "fastpath",
        *,
        apply_timeout_s: float = APPLY_TIMEOUT_S,
        status_timeout_s: float = STATUS_TIMEOUT_S,
    ) -> None:
        self.apply_timeout_s = apply_timeout_s
        self.status_timeout_s = status_timeout_s
        self.socket = socket
        self._name = name
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
        self._stub = FastPathStub(self._channel)

    @property
    def name(self) -> str:
        """Short; metrics and logs carry it."""
        return self._name

    def apply(self, plan: Plan) -> bool:
        """Programs the whole plan or nothing; see Target."""
        request = pb.ApplyRequest(plan=fastpath_plan.to_proto(plan))
        reply = self._call(lambda: self._stub.Apply(request, timeout=self.apply_timeout_s))
        if not reply.applied:
            problems = tuple(Problem(item.what, item.fix, item.entry) for item in reply.problems)
            raise TargetRefused(self.name, problems)
        return reply.changed

    def read_back(self) -> Programmed:
        """What the fast path says that it has; see Target."""
        reply = self._call(lambda: self._stub.Status(pb.StatusRequest(), timeout=self.status_timeout_s))
        waiting = [f"{w.name} {w.state} {w.detail}".strip() for w in reply.workers if w.state != "ready"]
        detail = "draining" if reply.draining else "; ".join(waiting)
        return Programmed(reply.revision, reply.epoch, reply.plan_sha256, reply.ready, detail)

    def digest(self, plan: Plan) -> bytes:
        """See Target."""
        return fastpath_plan.digest(plan)

    def close(self) -> None:
        """Closes the connection; the fast path lives on."""
        self._channel.close()

    def _call(self, call: Callable[[], Reply]) -> Reply:
        """One call; what gRPC says becomes TargetUnavailable with what to look at."""
        try:
            return call()
        except grpc.RpcError as error:
            raise TargetUnavailable(self._explain(error)) from error

    def _explain(self, error: object) -> str:
        """The error in words. `error` is an RpcError, and gRPC's own ones are calls too, which its types do not say."""
        code = error.code() if isinstance(error, grpc.Call) else None
        if code is grpc.StatusCode.UNAVAILABLE:
            return f"nobody answers at {self.socket}: is dpu-fastpath running with this --socket?"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"dpu-fastpath at {self.socket} did not answer in time"
        details = error.details() if isinstance(error, grpc.Call) else str(error)
        return f"dpu-fastpath at {self.socket} failed: {code.name if code else 'unknown'}: {details}"
