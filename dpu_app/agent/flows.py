"""The XDP target as telemetry's source of flows, and the thread that ages them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping

import structlog

from abi.gen.packet import FLOW_ACTIVE, FlowKey, FlowRecord, FlowValue
from dpu_app.targets.base import TargetUnavailable
from dpu_app.targets.packet.target import XdpTarget
from dpu_app.telemetry.flow_source import FlowNames, FlowTable

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="flows")
AGE_INTERVAL_S = 1.0
POLL_S = 0.1
"""The ring is looked into so often: its writers wake nobody up, which would cost a system call a record."""


class XdpFlows:
    """See FlowSource. What the kernel refuses is logged and looks like nothing."""

    def __init__(self, xdp: XdpTarget) -> None:
        self.xdp = xdp
        self.entries = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.age, name="age")

    def start(self) -> None:
        """Begins to age flows."""
        self._thread.start()

    def stop(self) -> None:
        """Ends that; the flows stay."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def age(self) -> None:
        """A round a second until `stop`. A table that takes long is walked less often: a tenth of a core at most.

        Only this thread's own time counts: a round may wait seconds for a target that compiles its programs.
        """
        pause_s = AGE_INTERVAL_S
        while not self._stopped.wait(pause_s):
            began = time.thread_time()
            try:
                aged = self.xdp.age()
                self.entries = aged.flows - aged.ended
            except TargetUnavailable as error:
                log.warning("flows cannot be aged", why=str(error))
            pause_s = max(AGE_INTERVAL_S, 10 * (time.thread_time() - began))

    def poll(self, timeout_s: float) -> list[FlowRecord]:
        """See FlowSource."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                records = self.xdp.records_read()
            except TargetUnavailable as error:
                log.warning("flow records cannot be read", why=str(error))
                records = []
            left = until - time.monotonic()
            if records or left <= 0:
                return records
            self._stopped.wait(min(POLL_S, left))

    def active(self) -> Iterator[FlowRecord]:
        """See FlowSource."""
        try:
            with self.xdp.held() as current:
                items = list(current.maps["flow"].items()) if current else []
        except TargetUnavailable as error:
            log.warning("flows cannot be listed", why=str(error))
            return
        for key, value in items:
            yield FlowRecord(FlowKey.unpack(key), FlowValue.unpack(value), FLOW_ACTIVE)

    def names(self) -> FlowNames:
        """See FlowSource."""
        packet = self.xdp.packet
        if packet is None:
            return FlowNames()
        groups = {group.id: group.name for steer in packet.tables.steer for group in steer.groups}
        return FlowNames({service.id: service.name for service in packet.services}, groups)

    def lost(self) -> int:
        """See FlowSource."""
        return self.events().get("records_lost", 0)

    def events(self) -> dict[str, int]:
        """What the programs count and is no reason."""
        try:
            with self.xdp.held() as current:
                return current.maps.events() if current else {}
        except TargetUnavailable:
            # A scrape in the moment when an interface goes away: the next one sees it.
            return {}

    def counters(self) -> Mapping[int, tuple[int, int]]:
        """See FlowSource."""
        try:
            with self.xdp.held() as current:
                found = current.maps.reasons() if current else {}
        except TargetUnavailable:
            # As above.
            return {}
        return {reason: (count.packets, count.bytes) for reason, count in found.items()}

    def table(self) -> FlowTable:
        """See FlowSource; the entries are those that the last round of ageing saw."""
        packet = self.xdp.packet
        return FlowTable(self.entries, packet.flows.entries_max if packet else 0)
