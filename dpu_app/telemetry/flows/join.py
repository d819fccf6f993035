"""Joins flows with the requests that they carried. No clock, no I/O: whoever calls says what time it is.

A flow that ended is held for a short grace, since lines of the journal may come after it; requests are held until their
flow has a record. Both are bounded: the oldest leaves first, as it is. Every flow leaves once as ended, every request
is in exactly one record.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dpu_app.telemetry.flows.record import NOTHING_DONE, Flow, FlowEnd, Key, Seen
from dpu_app.telemetry.flows.request import Request
from dpu_app.telemetry.flows.work import Work

GRACE_S = 5.0
"""A worker confirms within 2 s that a request whose client has gone is ended; then its line is written."""
SLACK_MS = 10
"""Two clocks are compared. A connection that uses the tuple again needs a handshake first."""
HOLD_TIMEOUTS = 3
"""A flow that goes on takes its requests within two active timeouts; requests that are held longer have none."""
TCP = 6


class Counters(NamedTuple):
    """What a flow's records before this one said."""

    packets_in: int
    bytes_in: int
    packets_out: int
    bytes_out: int


@dataclass(slots=True)
class Ended:
    """A flow in its grace."""

    seen: Seen
    until: float
    work: Work | None = None


@dataclass(slots=True)
class Reported:
    """A flow that goes on and has had a record."""

    counters: Counters
    at: float
    sweep: int


class Join:
    """Every method returns the records that are complete by it; `now` is monotonic seconds and never goes back."""

    def __init__(self, entries_max: int, active_timeout_s: float) -> None:
        self.entries_max = entries_max
        self.active_timeout_s = active_timeout_s
        self.ended: OrderedDict[Key, Ended] = OrderedDict()
        self.held: OrderedDict[Key, Work] = OrderedDict()
        self.reported: dict[tuple[Key, int], Reported] = {}
        self.sweep = 0
        self.evicted = 0
        """Records that left early because there was no room."""
        self.not_reported = 0
        """Flows that could not have a record while they go on, for the same reason."""

    def request(self, request: Request, now: float) -> list[Flow]:
        """A request has ended."""
        ended = self.ended.get(request.key)
        if ended is not None and request.start_ms <= ended.seen.end_ms + SLACK_MS:
            if ended.work is None:
                ended.work = Work(request.start_ms, now)
            ended.work.add(request)
            return []
        out = []
        if request.key not in self.held:
            out = self.make_room()
            self.held[request.key] = Work(request.start_ms, now)
        self.held[request.key].add(request)
        return out

    def flow(self, seen: Seen, now: float) -> list[Flow]:
        """A flow has ended."""
        seen = self.rest_of(seen)
        if seen.protocol != TCP or seen.end is FlowEnd.UNCONFIRMED:
            return [Flow(seen)]
        out: list[Flow] = []
        before = self.ended.pop(seen.key, None)
        if before is not None:
            out.append(finished(before))
        work = self.take(seen, out)
        out += self.make_room()
        self.ended[seen.key] = Ended(seen, now + GRACE_S, work)
        return out

    def goes_on(self, seen: Seen, now: float) -> list[Flow]:
        """A flow that was listed. It has a record where it is due and there is something to say."""
        place = (seen.key, seen.first_ns)
        reported = self.reported.get(place)
        if reported is None and now - seen.first_ns / 1e9 < self.active_timeout_s:
            return []
        if reported is not None:
            reported.sweep = self.sweep
            if now - reported.at < self.active_timeout_s:
                return []
            if reported.counters == counters_of(seen) and seen.key not in self.held:
                return []
        elif len(self.reported) >= self.entries_max:
            self.not_reported += 1
            return []
        out: list[Flow] = []
        work = self.take(seen, out)
        if reported is not None and work is None and reported.counters == counters_of(seen):
            return out
        self.reported[place] = Reported(counters_of(seen), now, self.sweep)
        return [*out, Flow(less(seen, reported), work.sums() if work else NOTHING_DONE)]

    def swept(self) -> None:
        """All flows that go on were listed once. Those that were missing twice have ended, and their end was lost."""
        gone = [place for place, reported in self.reported.items() if reported.sweep < self.sweep - 1]
        for place in gone:
            del self.reported[place]
        self.sweep += 1

    def due(self, now: float) -> list[Flow]:
        """What has waited long enough."""
        out = []
        while self.ended and next(iter(self.ended.values())).until <= now:
            out.append(finished(self.ended.popitem(last=False)[1]))
        oldest = now - HOLD_TIMEOUTS * self.active_timeout_s
        while self.held and next(iter(self.held.values())).held_since <= oldest:
            out.append(requests_only(*self.held.popitem(last=False)))
        return out

    def flush(self) -> list[Flow]:
        """Everything that is held."""
        return list(self.drain())

    def drain(self) -> Iterator[Flow]:
        """Lets go of everything, one record at a time."""
        while self.ended:
            yield finished(self.ended.popitem(last=False)[1])
        while self.held:
            yield requests_only(*self.held.popitem(last=False))

    def take(self, seen: Seen, out: list[Flow]) -> Work | None:
        """The requests that are held for a flow. Those of a connection that used the tuple later are left; those of one
        that was over before it began are appended to `out` on their own."""
        work = self.held.get(seen.key)
        if work is None or work.start_ms > seen.end_ms + SLACK_MS:
            return None
        del self.held[seen.key]
        if work.end_ms + SLACK_MS < seen.start_ms:
            out.append(requests_only(seen.key, work))
            return None
        return work

    def rest_of(self, seen: Seen) -> Seen:
        """A flow's last record, less what its records before have said."""
        return less(seen, self.reported.pop((seen.key, seen.first_ns), None))

    def make_room(self) -> list[Flow]:
        """Lets the oldest go where there are as many as may be."""
        out = []
        while len(self.ended) + len(self.held) >= self.entries_max:
            self.evicted += 1
            if self.ended:
                out.append(finished(self.ended.popitem(last=False)[1]))
            else:
                out.append(requests_only(*self.held.popitem(last=False)))
        return out


def finished(ended: Ended) -> Flow:
    """The record of a flow that has ended."""
    return Flow(ended.seen, ended.work.sums() if ended.work else NOTHING_DONE)


def requests_only(key: Key, work: Work) -> Flow:
    """The record of requests whose flow was not seen: the packet stage did not have it, or its record was lost."""
    seen = Seen(
        end=FlowEnd.REQUESTS_ONLY,
        client=key.client,
        client_port=key.client_port,
        server=key.server,
        server_port=key.server_port,
        protocol=TCP,
        group_port=key.server_port,
        start_ms=work.start_ms,
        end_ms=work.end_ms,
    )
    return Flow(seen, work.sums())


def counters_of(seen: Seen) -> Counters:
    """A flow's counters."""
    return Counters(seen.packets_in, seen.bytes_in, seen.packets_out, seen.bytes_out)


def less(seen: Seen, before: Reported | None) -> Seen:
    """Only what is new since the record before."""
    if before is None:
        return seen
    news = Counters(*(max(new - old, 0) for new, old in zip(counters_of(seen), before.counters, strict=True)))
    return replace(seen, **news._asdict())
