"""A running agent: builds its parts, puts them together, and waits for signals."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from dpu_app.reconcile.reconciler import Reconciler
from dpu_app.reconcile.source import FileSource
from dpu_app.store.revisions import Store
from dpu_app.targets.base import Target, TargetUnavailable
from dpu_app.targets.fastpath import FastPathTarget
from dpu_app.targets.packet.target import XdpOptions, XdpTarget
from dpu_app.targets.unserved import PacketUnserved
from dpu_app.telemetry.agent_metrics import AgentMetrics
from dpu_app.telemetry.health import HealthServer, Readiness

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="agent")
# Waited for with sigwait, so they are blocked in every thread; no handler runs in the middle of something.
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
AGE_INTERVAL_S = 1.0


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
        packet: Target = self.xdp or PacketUnserved()
        self.targets: tuple[Target, ...] = (FastPathTarget(options.fastpath_socket), packet)
        self.reconciler = Reconciler(self.store, self.targets, metrics)
        self.source = FileSource(options.config, self.store, self.reconciler, metrics)
        self._stopped = threading.Event()
        try:
            self.health = HealthServer(options.http, registry, self.readiness)
        except OSError:
            self.store.close()
            raise

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
        threads = [threading.Thread(target=self.reconciler.run, name="reconcile")]
        if self.xdp is not None:
            threads.append(threading.Thread(target=self.age_flows, args=(self.xdp,), name="age"))
        for thread in threads:
            thread.start()
        while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
            log.info("reloading")
            self.source.reload()
        log.info("stopping; what is programmed lives on", signal=signal.Signals(received).name)
        self.reconciler.stop()
        self._stopped.set()
        for thread in threads:
            thread.join()
        return self.close(0)

    def age_flows(self, xdp: XdpTarget) -> None:
        """Until the agent stops: ends old flows, a round a second. A table that takes long is walked less often."""
        pause_s = AGE_INTERVAL_S
        while not self._stopped.wait(pause_s):
            began = time.monotonic()
            try:
                xdp.age()
            except TargetUnavailable as error:
                log.warning("flows cannot be aged", why=str(error))
            pause_s = max(AGE_INTERVAL_S, 10 * (time.monotonic() - began))

    def close(self, status: int) -> int:
        """Lets go of everything; what is programmed stays. Returns `status`."""
        self.health.close()
        for target in self.targets:
            target.close()
        self.store.close()
        return status
