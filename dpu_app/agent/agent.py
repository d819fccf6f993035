"""Builds the agent's parts, puts them together, and waits for signals."""

from __future__ import annotations

import signal
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from dpu_app.agent.controller import XdpBackend
from dpu_app.agent.flows import XdpFlows
from dpu_app.agent.p4rt_metrics import P4RuntimeMetrics
from dpu_app.agent.packet_metrics import PacketMetrics
from dpu_app.p4rt.options import ClientOptions, OptionsError, ServerOptions
from dpu_app.p4rt.server import Server, serve
from dpu_app.reconcile.reconciler import Reconciler
from dpu_app.reconcile.source import FileSource
from dpu_app.store.revisions import Store
from dpu_app.targets.base import Target
from dpu_app.targets.fastpath import FastPathTarget
from dpu_app.targets.p4runtime import P4RuntimeTarget
from dpu_app.targets.packet.target import XdpOptions, XdpTarget
from dpu_app.targets.unserved import PacketUnserved
from dpu_app.telemetry.agent_metrics import AgentMetrics
from dpu_app.telemetry.flows.follow import SOCKET_NAME
from dpu_app.telemetry.flows.service import FlowTelemetry
from dpu_app.telemetry.flows.settings import FlowSettings
from dpu_app.telemetry.health import HealthServer, Readiness

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="agent")
# Waited for with sigwait, so they are blocked in every thread; no handler runs in the middle of something.
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """What the command line says."""

    config: Path
    fastpath_socket: str
    state_dir: Path
    http: str
    xdp: bool = False
    """Program the packet stage of the file by XDP."""
    force: bool = False
    """Take its interface from somebody else's program."""
    journal: Path | None = None
    """The request journal of dpu-fastpath: what flow records say of requests."""
    flows_socket: Path | None = None
    """Where `dpu-agent flows` connects; in the state directory when left out."""
    p4runtime: ClientOptions | None = None
    """Program the packet stage of the file on this device over P4Runtime."""
    p4runtime_server: ServerOptions | None = None
    """Serve P4Runtime in front of XDP."""


class Agent:
    """The parts of a running agent, put together."""

    def __init__(self, options: AgentOptions) -> None:
        """Raises StoreError where another agent has the state directory, OSError where `http` is taken, TargetError."""
        registry = CollectorRegistry()
        metrics = AgentMetrics(registry)
        self.store = Store(options.state_dir)
        for damage in self.store.damaged:
            log.error("passed over", why=damage)
        self.xdp = XdpTarget(XdpOptions(force=options.force), self.store.good) if options.xdp else None
        # Listeners are bound before frames are steered to them.
        device = device_of(options)
        packet: list[Target] = [target for target in (self.xdp, device) if target]
        packet = packet or [PacketUnserved()]
        self.flows = XdpFlows(self.xdp) if self.xdp else None
        self.targets: tuple[Target, ...] = (FastPathTarget(options.fastpath_socket), *packet)
        self.reconciler = Reconciler(self.store, self.targets, metrics)
        self.source = FileSource(options.config, self.store, self.reconciler, metrics)
        try:
            self.telemetry = self.flow_telemetry(options, registry)
            self.p4runtime = self.p4runtime_server(options)
            service = self.p4runtime.service if self.p4runtime else None
            registry.register(P4RuntimeMetrics(service, device.client if device else None))
            self.health = HealthServer(options.http, registry, self.readiness)
        except (OSError, OptionsError):
            self.store.close()
            raise

    def p4runtime_server(self, options: AgentOptions) -> Server | None:
        """The server in front of XDP, where it is asked for. Raises OptionsError."""
        if options.p4runtime_server is None:
            return None
        if self.xdp is None:
            raise OptionsError("the P4Runtime server stands in front of XDP: start dpu-agent with --xdp too")
        return serve(XdpBackend(self.xdp, options.state_dir), options.p4runtime_server)

    def flow_telemetry(self, options: AgentOptions, registry: CollectorRegistry) -> FlowTelemetry | None:
        """The flow records of the packet stage, where it is ours. Raises OSError where the socket cannot be bound."""
        if self.flows is None:
            return None
        registry.register(PacketMetrics(self.flows))
        socket = options.flows_socket or options.state_dir / SOCKET_NAME
        return FlowTelemetry(self.flows, options.journal, FlowSettings(), registry, socket)

    def readiness(self) -> Readiness:
        """Everything accepted is programmed everywhere, and the file has no problems."""
        status = self.reconciler.status
        config = "; ".join(str(problem) for problem in self.source.problems)
        ready = status.in_sync and status.accepted == status.programmed
        return Readiness(ready, status.reason, {"status": asdict(status), "config": config})

    def run(self) -> int:
        """Until SIGTERM or SIGINT (blocked by the caller). Returns the exit status."""
        self.source.start()
        if self.store.latest is None and self.source.problems:
            return self.close(1)
        worker = threading.Thread(target=self.reconciler.run, name="reconcile")
        worker.start()
        self.take_up_settings()
        if self.flows is not None and self.telemetry is not None:
            self.flows.start()
            self.telemetry.start()
        while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
            log.info("reloading")
            self.source.reload()
            self.take_up_settings()
            if self.telemetry is not None:
                self.telemetry.reopen()
        log.info("stopping; what is programmed lives on", signal=signal.Signals(received).name)
        self.reconciler.stop()
        worker.join()
        return self.close(0)

    def take_up_settings(self) -> None:
        """What the accepted file says to the agent itself."""
        accepted = self.source.accepted
        if self.telemetry is not None and accepted is not None:
            self.telemetry.configure(FlowSettings.of(accepted.desired.telemetry.flows, accepted.folder))

    def close(self, status: int) -> int:
        """Lets go of everything; what is programmed stays. Returns `status`."""
        if self.flows is not None and self.telemetry is not None:
            self.telemetry.stop()
            self.flows.stop()
        if self.p4runtime is not None:
            self.p4runtime.close()
        self.health.close()
        for target in self.targets:
            target.close()
        self.store.close()
        return status


def device_of(options: AgentOptions) -> P4RuntimeTarget | None:
    """The P4Runtime device that is programmed, if there is one. Raises OptionsError or SchemaError."""
    return P4RuntimeTarget(options.p4runtime) if options.p4runtime is not None else None
