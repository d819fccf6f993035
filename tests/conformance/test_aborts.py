"""Clients that connect and go leave nothing behind. `make soak` does 10,000 of them; here a few hundred."""

from __future__ import annotations

from tests.conformance.aborts import ABORTS, cycles
from tests.conformance.memory import KIB, descriptors, rss_bytes
from tests.conformance.wire import Target
from tests.integration.processes import total, until

CYCLES = 300
WARM_UP = 5 * len(ABORTS)
DESCRIPTORS_APART = 8
"""Those of whoever reads the metrics, and of a worker's connection that is made anew, come and go."""
BYTES_A_CYCLE_MAX = 4 * KIB
"""Far below the least that one connection holds, so that a leak of any kind of client shows."""


def test_aborted_connections_leave_memory_descriptors_and_books_as_they_were(target: Target) -> None:
    def quiet() -> bool:
        samples = target.samples()
        return (
            total(samples, "dpu_requests_in_flight") == 0
            and total(samples, "dpu_connections_open", listener="public") == 0
        )

    cycles(target, WARM_UP)
    until(quiet, "the warm-up is over", 20)
    memory, opened = rss_bytes(target.stack), descriptors(target.stack)
    cycles(target, CYCLES)
    until(quiet, "every client is forgotten", 20)
    until(lambda: descriptors(target.stack) <= opened + DESCRIPTORS_APART, "descriptors are as they were", 20)
    assert (rss_bytes(target.stack) - memory) / CYCLES < BYTES_A_CYCLE_MAX
    samples = target.samples()
    assert total(samples, "dpu_requests_received_total") == total(samples, "dpu_requests_total")
