"""`FlowTelemetry`: the thread that takes flows and requests, joins them and writes the records everywhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from abi.gen.packet import FlowRecord
from dpu_app.telemetry.flow_source import FlowNames, FlowSource
from dpu_app.telemetry.flows.ipfix_udp import IpfixUdp
from dpu_app.telemetry.flows.join import Join
from dpu_app.telemetry.flows.journal import JournalTail
from dpu_app.telemetry.flows.json_lines import JsonLines
from dpu_app.telemetry.flows.live import LiveFlows
from dpu_app.telemetry.flows.metrics import FlowMetrics
from dpu_app.telemetry.flows.output import Output
from dpu_app.telemetry.flows.record import Clock, Flow, seen_of
from dpu_app.telemetry.flows.request import parse
from dpu_app.telemetry.flows.settings import FlowSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="flows")
ROUND_S = 0.25
"""How long a round waits for flows; lines of the journal come about as late."""
CHUNK = 1_024
"""Records that are written at once: bounds what a sweep of a large table holds in memory."""


class FlowTelemetry:
    """`start`, then `stop`. `configure` and `reopen` may be called from any thread at any time."""

    def __init__(
        self,
        source: FlowSource,
        journal: Path | None,
        settings: FlowSettings,
        registry: CollectorRegistry,
        socket: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without a `journal` records say nothing of requests. Raises OSError where the `socket` cannot be bound."""
        self.source = source
        self.clock = clock
        self.settings = settings
        self.wanted: FlowSettings | None = None
        self.reopening = threading.Event()
        self.journal = JournalTail(journal) if journal else None
        self.join = Join(settings.entries_max, settings.active_timeout_s)
        self.metrics = FlowMetrics(source, settings.series_max, self.lost)
        self.unreadable = 0
        """Lines of the journal that are not as documented."""
        self.losses: dict[str, int] = {"ipfix": 0, "json": 0, "follower": 0}
        """Of outputs that are closed."""
        self.in_hand = 0
        """Records that the running round has taken."""
        self.faults = 0
        """Records of rounds that failed by a fault of ours."""
        self.sweep_due = clock() + settings.active_timeout_s
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.live = LiveFlows(socket) if socket else None
        self.outputs = outputs_of(settings)
        registry.register(self.metrics)

    def start(self) -> None:
        """Begins to work."""
        self.thread = threading.Thread(target=self.run, name="flows")
        self.thread.start()

    def stop(self) -> None:
        """Writes what is held and ends; the packet stage goes on, and its target is closed after this."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()
        try:
            self.finish()
        finally:
            for name in list(self.outputs):
                self.drop(name)
            if self.live is not None:
                self.live.close()

    def configure(self, settings: FlowSettings) -> None:
        """From the next round on."""
        self.wanted = settings

    def reopen(self) -> None:
        """Opens files again, in the next round: SIGHUP after they were moved away."""
        self.reopening.set()

    def run(self) -> None:
        """Rounds until `stop`."""
        while not self.stopping.is_set():
            try:
                self.round(ROUND_S)
            except Exception:
                # A fault of ours must not end the records of everything that follows.
                self.faults += self.in_hand
                log.exception("a fault in flow telemetry")
                self.stopping.wait(1.0)

    def round(self, wait_s: float) -> None:
        """Takes what there is of flows and requests, and writes what is complete."""
        self.heed()
        behind = self.journal is not None and self.journal.has_more
        self.in_hand = 0
        ended = self.source.poll(0.0 if behind else wait_s)
        self.in_hand = len(ended)
        # Flows first: a line that comes later finds its flow held, and another flow's requests are told apart by it.
        self.emit(self.flows(ended) + self.requests())
        self.in_hand = 0
        if self.clock() >= self.sweep_due:
            self.sweep()
        self.emit(self.join.due(self.clock()))
        self.publish()

    def heed(self) -> None:
        """Does what other threads asked for."""
        if self.reopening.is_set():
            self.reopening.clear()
            for output in self.outputs.values():
                if isinstance(output, JsonLines):
                    output.reopen()
        wanted, self.wanted = self.wanted, None
        if wanted is not None and wanted != self.settings:
            self.take_up(wanted)

    def take_up(self, wanted: FlowSettings) -> None:
        """Other settings; outputs whose part has not changed go on undisturbed."""
        before, self.settings = self.settings, wanted
        for name, changed in (("ipfix", before.ipfix != wanted.ipfix), ("json", before.json_file != wanted.json_file)):
            if changed:
                self.drop(name)
        self.outputs = {**outputs_of(wanted), **self.outputs}
        self.join.entries_max, self.join.active_timeout_s = wanted.entries_max, wanted.active_timeout_s
        self.metrics.limit(wanted.series_max)
        self.sweep_due = min(self.sweep_due, self.clock() + wanted.active_timeout_s)
        log.info("flow telemetry", ipfix=wanted.ipfix is not None, json=wanted.json_file is not None)

    def drop(self, name: str) -> None:
        """Closes an output, if it is there; its losses stay counted."""
        output = self.outputs.pop(name, None)
        if output is not None:
            self.losses[name] += output.lost
            output.close()

    def flows(self, records: Sequence[FlowRecord]) -> list[Flow]:
        """Flows that have ended."""
        names = self.source.names() if records else FlowNames()
        now, clock = self.clock(), wall_clock()
        return [flow for record in records for flow in self.join.flow(seen_of(record, names, clock), now)]

    def requests(self) -> list[Flow]:
        """Requests that have ended."""
        out: list[Flow] = []
        now = self.clock()
        for line in self.journal.poll() if self.journal else ():
            try:
                request = parse(line)
            except ValueError as error:
                self.note_unreadable(error)
                continue
            out += self.join.request(request, now)
        return out

    def note_unreadable(self, error: ValueError) -> None:
        """Counts the line, and says once what is wrong."""
        if self.unreadable == 0:
            log.warning("a line of the journal cannot be read: is it dpu-fastpath's, of this version?", why=str(error))
        self.unreadable += 1

    def sweep(self) -> None:
        """Looks at flows that go on."""
        out: list[Flow] = []
        names, clock, now = self.source.names(), wall_clock(), self.clock()
        # First, so that a sweep that fails is not tried again in every round.
        self.sweep_due = now + self.settings.active_timeout_s
        for record in self.source.active():
            out += self.join.goes_on(seen_of(record, names, clock), now)
            if len(out) >= CHUNK:
                self.emit(out)
                out = []
        self.join.swept()
        self.emit(out)

    def emit(self, flows: Sequence[Flow]) -> None:
        """Writes records everywhere; outputs are asked also where there are none, since they keep time."""
        self.metrics.flows(flows)
        unix_s = int(time.time())
        for output in self.everywhere():
            output.write(flows, unix_s)

    def everywhere(self) -> list[Output]:
        """All outputs."""
        return [*self.outputs.values(), *([self.live] if self.live else [])]

    def finish(self) -> None:
        """Writes everything that has come and everything that is held."""
        self.emit(self.flows(self.source.poll(0.0)) + self.requests())
        self.emit(self.join.flush())
        self.publish()

    def publish(self) -> None:
        """What the join says of itself, for the metrics."""
        metrics, join = self.metrics, self.join
        metrics.held = {"flow": len(join.ended), "request": len(join.held)}
        metrics.held_max = join.entries_max
        metrics.evicted, metrics.not_reported = join.evicted, join.not_reported

    def lost(self) -> dict[str, int]:
        """Records and lines that were lost since start, by where. Called by any thread."""
        now = {name: output.lost for name, output in list(self.outputs.items())}
        return {
            "ring": self.source.lost(),
            "journal_skipped": self.journal.skipped if self.journal else 0,
            "journal_unreadable": self.unreadable,
            "ipfix": self.losses["ipfix"] + now.get("ipfix", 0),
            "json": self.losses["json"] + now.get("json", 0),
            "follower": self.live.lost if self.live else 0,
            "fault": self.faults,
        }


def outputs_of(settings: FlowSettings) -> dict[str, Output]:
    """The outputs that settings ask for."""
    outputs: dict[str, Output] = {}
    if settings.ipfix is not None:
        outputs["ipfix"] = IpfixUdp(settings.ipfix)
    if settings.json_file is not None:
        outputs["json"] = JsonLines(settings.json_file)
    return outputs


def wall_clock() -> Clock:
    """How far the two clocks are apart now; taken again each round, since the one of people may be set."""
    return Clock(time.time_ns() - time.monotonic_ns())
