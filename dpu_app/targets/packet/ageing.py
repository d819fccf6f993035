"""Ages flows: finds the old ones in the table, and has the kernel judge and end them (`bpf/programs/age.c`)."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from abi.gen.packet import (
    FLOW_REMOVED,
    FLOW_STATE_CLIENT_CLOSING,
    FLOW_STATE_CONFIRMED,
    FlowKey,
    FlowValue,
)
from dpu_app.model.plan_packet import PlanFlows
from dpu_app.targets.packet import bpf
from dpu_app.targets.packet.maps import Maps

REQUEST = struct.Struct("=QQQQII")
KEYS_MAX = 64
LAST_NS_AT = FlowValue.OFFSETS["last_ns"]
SERVICE_AT = FlowValue.OFFSETS["service"]
STATE_AT = FlowValue.OFFSETS["state"]
PORT_AT = FlowValue.OFFSETS["port"]
NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Aged:
    """One round: flows that were there, and those that ended."""

    flows: int
    ended: int


class FlowAger:
    """Runs over one generation's flow table. `clock_ns` is that of the programs (CLOCK_MONOTONIC)."""

    def __init__(self, maps: Maps, age_fd: int, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.maps = maps
        self.age_fd = age_fd
        self.clock_ns = clock_ns

    def round(self, times: PlanFlows) -> Aged:
        """Ends every flow that is too old. Raises BpfError."""
        now = self.clock_ns()
        idle = times.idle_timeout_ms * NS_PER_MS
        closing = times.closing_timeout_ms * NS_PER_MS
        unconfirmed = times.unconfirmed_timeout_ms * NS_PER_MS
        count, old = 0, []
        for key, last, state, _ in self.flows():
            count += 1
            limit = (
                closing if state & FLOW_STATE_CLIENT_CLOSING else idle if state & FLOW_STATE_CONFIRMED else unconfirmed
            )
            if now - last >= limit:
                old.append(key)
        head = (now, idle, closing, unconfirmed)
        return Aged(count, sum(self.end(chunk, head, 0) for chunk in chunks(old)))

    def keep_services(self, services: set[int]) -> int:
        """Ends the flows of all other services; how many. Raises BpfError."""
        keys = [key for key, _, _, service in self.flows() if service not in services]
        return sum(self.end(chunk, (0, 0, 0, 0), FLOW_REMOVED) for chunk in chunks(keys))

    def ports(self) -> set[tuple[bytes, int, bytes]]:
        """(VIP address, protocol, group port in network order) of every flow and handshake that has a port."""
        found = set()
        for key, value in self.maps["flow"].items():
            port = value[PORT_AT : PORT_AT + 2]
            if port != b"\0\0":
                found.add((key[16:32], key[36], port))
        # Handshakes that our stack has answered, and whose client has not yet.
        found |= {(key[16:32], key[36], value[2:4]) for key, value in self.maps["flow_pending"].items()}
        return found

    def flows(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Key, last_ns, state and service of every flow: unpacked by hand, since there may be millions."""
        for key, value in self.maps["flow"].items():
            last = int.from_bytes(value[LAST_NS_AT : LAST_NS_AT + 8], "little")
            service = int.from_bytes(value[SERVICE_AT : SERVICE_AT + 2], "little")
            yield key, last, value[STATE_AT], service

    def end(self, keys: list[bytes], head: tuple[int, int, int, int], end: int) -> int:
        """Asks the kernel to end these; how many it did."""
        request = REQUEST.pack(*head, len(keys), end) + b"".join(keys)
        return bpf.test_run(self.age_fd, request).result


def chunks(keys: list[bytes]) -> Iterator[list[bytes]]:
    """As many keys as one run takes."""
    for start in range(0, len(keys), KEYS_MAX):
        yield keys[start : start + KEYS_MAX]


assert FlowKey.SIZE * KEYS_MAX + REQUEST.size < bpf.TEST_RUN_BYTES_MAX
