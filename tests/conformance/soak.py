"""`make soak`: ten minutes of honest and hostile clients side by side, a line a minute, slopes, a verdict.

Before the soak 10,000 clients connect and go. Whatever grows by the minute afterwards, in spite of steady load, is a
leak: memory, descriptors, threads, open connections, requests in flight.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import hostile
from tests.conformance.aborts import ABORTS, cycles
from tests.conformance.conftest import TIGHT, with_listener
from tests.conformance.hostile import MODELS, post
from tests.conformance.memory import KIB, descriptors, rss_bytes
from tests.conformance.wire import H1, H2, HEADERS, Target, ask, chat
from tests.integration.processes import Samples, Stack, build, free_ports, make_certificates, running, total, until

CYCLES = 10_000
ABORTERS = 4
DESCRIPTORS_APART = 8
"""Those of whoever reads the metrics, and of a worker's connection that is made anew, come and go."""
SAMPLES_MIN = 6
"""Points that a slope is drawn through at least."""
ERRORS = 3
"""Standard errors that a slope may stand above its bound: the load has ups and downs of its own."""
QUIET_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Sample:
    """What the fast path holds at one moment."""

    at_s: float
    rss_kib: float
    descriptors: int
    threads: int
    connections: float
    in_flight: float
    received: float


SLOPES_MAX = {"rss_kib": 512.0, "descriptors": 1.0, "threads": 0.2, "connections": 1.0, "in_flight": 1.0}
"""A minute. Memory: an allocator that settles, not a leak of any client of the load (each holds 20 KiB and more)."""


def sample(target: Target, began: float) -> Sample:
    """Now."""
    process = target.stack.fastpath.running
    assert process is not None
    samples = target.samples()
    return Sample(
        at_s=time.monotonic() - began,
        rss_kib=rss_bytes(target.stack) / KIB,
        descriptors=descriptors(target.stack),
        threads=len(list(Path(f"/proc/{process.pid}/task").iterdir())),
        connections=total(samples, "dpu_connections_open"),
        in_flight=total(samples, "dpu_requests_in_flight"),
        received=total(samples, "dpu_requests_received_total"),
    )


def slope_per_min(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares through (seconds, value): the slope a minute and its standard error."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if count < 3 or not spread:
        return 0.0, 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return 60 * slope, 60 * (rest / (count - 2) / spread) ** 0.5


class Load:
    """Clients in threads, until they are told to stop. An honest client that is not served is a failure."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.failures: list[str] = []
        self.threads: list[threading.Thread] = []

    def start(self, client: Callable[[Target], None], target: Target, pause_s: float, *, honest: bool) -> None:
        """A client again and again, with a pause."""

        def loop() -> None:
            while not self.stopping.is_set():
                try:
                    client(target)
                except (AssertionError, OSError) as error:
                    # What a hostile client meets is the tests' business; the fast path's figures are ours.
                    if honest:
                        self.failures.append(f"{client.__name__}: {error!r}")
                self.stopping.wait(pause_s)

        self.threads.append(threading.Thread(target=loop, daemon=True))
        self.threads[-1].start()

    def stop(self) -> None:
        """All of them."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def kept(target: Target) -> None:
    """Twenty requests on one HTTP/1 connection."""
    with H1(target) as client:
        for _ in range(10):
            for question in (MODELS, post(chat("!echo tokens=5"))):
                client.send(question)
                answer = client.answer()
                assert answer.status == 200, answer.body


def streamed(target: Target) -> None:
    """An event stream to its end."""
    with H1(target) as client:
        client.send(post(chat("!echo tokens=50 delay_ms=5", stream=True)))
        client.until(b"data: [DONE]")


def side_by_side(target: Target) -> None:
    """Eight HTTP/2 streams."""
    with H2(target) as client:
        for stream in range(1, 17, 2):
            client.send(hostile.asked(client, stream, chat("!echo tokens=5")))
        statuses = {client.until(HEADERS).headers[":status"] for _ in range(8)}
        assert statuses == {"200"}, statuses


def refused(target: Target) -> None:
    """A key that is not known."""
    with H2(target) as client:
        client.send(client.head(1, ask("GET", "/v1/models", key="no"), end=True))
        assert client.until(HEADERS).headers[":status"] == "401"


def abort_cycles(target: Target, count: int) -> bool:
    """Clients that go, from several threads; whether memory and descriptors are flat over them."""
    cycles(target, 10 * len(ABORTS))
    until(lambda: total(target.samples(), "dpu_connections_open") == 0, "the warm-up is over", QUIET_TIMEOUT_S)
    began = time.monotonic()
    before = sample(target, began)
    unserved: list[str] = []

    def some() -> None:
        for _ in range(count // ABORTERS // len(ABORTS)):
            try:
                cycles(target, len(ABORTS))
            except (AssertionError, OSError) as error:
                unserved.append(repr(error))

    threads = [threading.Thread(target=some) for _ in range(ABORTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"abort cycles: {len(unserved)} of those that first wait for a token were not served {unserved[:3]}")
    until(lambda: total(target.samples(), "dpu_connections_open") == 0, "every client is forgotten", QUIET_TIMEOUT_S)
    after = sample(target, began)
    grown = (after.rss_kib - before.rss_kib) * KIB / count
    more = after.descriptors - before.descriptors
    print(
        f"abort cycles: {count} in {after.at_s:.0f} s, memory {grown:+.0f} B a cycle, descriptors {more:+d}", flush=True
    )
    return grown < KIB and more <= DESCRIPTORS_APART


def watch(target: Target, seconds: float) -> list[Sample]:
    """A sample a minute at most, more often in a short soak; the first quarter warms up and is not kept."""
    began, interval_s = time.monotonic(), min(60.0, seconds / (2 * SAMPLES_MIN))
    found = []
    while time.monotonic() - began < seconds:
        time.sleep(interval_s)
        found.append(sample(target, began))
        print(
            "{0.at_s:6.0f} s  rss {0.rss_kib:.0f} KiB  descriptors {0.descriptors}  threads {0.threads}  "
            "connections {0.connections:.0f}  in flight {0.in_flight:.0f}  requests {0.received:.0f}".format(found[-1]),
            flush=True,
        )
    return found[len(found) // 4 :]


def verdict(samples: list[Sample], load: Load) -> bool:
    """Prints each slope; whether all are flat and every honest client was served."""
    good = True
    for name, allowed in SLOPES_MAX.items():
        slope, error = slope_per_min([(point.at_s, float(getattr(point, name))) for point in samples])
        good &= slope - ERRORS * error <= allowed
        print(f"slope {name}: {slope:+.2f} +- {error:.2f} a minute (at most {allowed:+.2f})")
    print(f"honest clients that were not served: {len(load.failures)} {load.failures[:3]}")
    return good and not load.failures


def soak(stack: Stack, tight_port: int, seconds: float, count: int) -> bool:
    """The cycles, then the load."""
    target, tight = Target(stack, stack.port), Target(stack, tight_port)
    flat = abort_cycles(target, count)
    load = Load()
    for served in (kept, streamed, side_by_side, refused):
        load.start(served, target, 0.05, honest=True)
    for limit, client in hostile.clients():
        # One at a time of those that fill a whole listener or core up, which is shared with the honest.
        if limit not in ("connections_max", "requests_running_max"):
            load.start(client, tight, 2.0, honest=False)
    try:
        samples = watch(target, seconds)
    finally:
        load.stop()
    good = verdict(samples, load)
    until(lambda: total(target.samples(), "dpu_requests_in_flight") == 0, "nothing is left in flight", QUIET_TIMEOUT_S)
    books = target.samples()
    added_up = total(books, "dpu_requests_received_total") == total(books, "dpu_requests_total")
    print(f"requests in = sum over outcomes: {added_up}; by reason: {by_reason(books)}")
    return flat and good and added_up


def by_reason(samples: Samples) -> dict[str, int]:
    """Requests by the reason that they ended for."""
    found: dict[str, int] = {}
    for (name, labels), value in samples.items():
        if name == "dpu_requests_total":
            reason = dict(labels)["reason"]
            found[reason] = found.get(reason, 0) + int(value)
    return found


def main() -> int:
    """Command line; the exit status is the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificates(folder)
        stack, port = build(folder, folder), free_ports(1)[0]
        with_listener(stack.config, "tight", port, {**TIGHT, "connections_max": 1_000})
        for one in running(stack):
            good = soak(one, port, options.seconds, options.cycles)
    print("soak: good" if good else "soak: NOT good")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
