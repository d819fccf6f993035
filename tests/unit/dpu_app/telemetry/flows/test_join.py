"""Flows meet their requests: each flow leaves once, each request is in one record, whatever comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abi.gen import packet as abi
from dpu_app.telemetry.flows.join import GRACE_S, SLACK_MS, Join
from dpu_app.telemetry.flows.record import NOTHING_DONE, ArmWork, Flow, FlowEnd, Seen, rfc3339
from dpu_app.telemetry.flows.request import Request
from dpu_app.telemetry.flows.work import NAMES_MAX, OTHER
from tests.unit.dpu_app.telemetry.flows.samples import START_MS, request, seen

ACTIVE_S = 60.0
LATE = 1e9


def join(entries_max: int = 1_000) -> Join:
    return Join(entries_max, ACTIVE_S)


def at(ms: int, **changes: object) -> Request:
    """A request that began so many milliseconds after START_MS and took no time."""
    return request(ts=rfc3339(START_MS + ms), duration_ms=0, **changes)


def one(flows: list[Flow]) -> Flow:
    assert len(flows) == 1
    return flows[0]


@pytest.mark.parametrize("flow_first", [True, False])
def test_flow_and_request_become_one_record_whichever_comes_first(flow_first: bool) -> None:
    joined = join()
    before = [] if flow_first else joined.request(request(), 10.0)
    assert before + joined.flow(seen(), 10.0) == []
    assert not flow_first or joined.request(request(), 10.0) == []
    assert joined.due(10.0 + GRACE_S - 0.1) == []
    flow = one(joined.due(10.0 + GRACE_S))
    assert flow.seen == seen()
    assert (flow.done.tenant, flow.done.model, flow.done.arm, flow.done.worker) == ("alpha", "chat", "stable", "w0")
    assert (flow.done.requests, flow.done.answered, flow.done.tokens_in, flow.done.tokens_out) == (1, 1, 12, 30)
    assert (flow.done.ttft_ms, flow.done.outcome, flow.done.epoch) == (21.5, "answered", 6)


def test_sums_are_over_all_requests_and_names_are_listed_once() -> None:
    joined = join()
    joined.request(at(1_500, ttft_ms=10), 1.0)
    joined.request(at(1_600, arm="canary", outcome="failed", prompt_tokens=5, completion_tokens=1, ttft_ms=30), 1.1)
    joined.request(at(1_700, tenant=None, arm=None, outcome="refused", prompt_tokens=0, completion_tokens=0,
                      ttft_ms=None, epoch=7), 1.2)  # fmt: skip
    joined.request(at(1_800, tenant=None, model=None, arm=None, worker=None, outcome="refused", prompt_tokens=0,
                      completion_tokens=0, ttft_ms=None, epoch=0), 1.3)  # fmt: skip
    joined.flow(seen(), 3.0)
    done = one(joined.due(LATE)).done
    assert (done.requests, done.answered, done.tokens_in, done.tokens_out, done.epoch) == (4, 1, 17, 31, 7)
    assert (done.tenant, done.arm, done.outcome) == ("alpha", "stable,canary", "answered,failed,refused")
    assert (done.ttft_ms, done.ttft_ms_max) == (20.0, 30.0)
    assert done.arms == (
        ArmWork("stable", "answered", 1, 12, 30),
        ArmWork("canary", "failed", 1, 5, 1),
        ArmWork("", "refused", 2, 0, 0),
    )


def test_names_beyond_the_bound_are_one() -> None:
    joined = join()
    for index in range(NAMES_MAX + 3):
        joined.request(at(1_500, arm=f"a{index}", prompt_tokens=1), 1.0)
    joined.flow(seen(), 3.0)
    done = one(joined.due(LATE)).done
    assert done.arm == ",".join([f"a{index}" for index in range(NAMES_MAX)] + [OTHER])
    assert (len(done.arms), done.arms[-1].arm, done.arms[-1].requests) == (NAMES_MAX + 1, OTHER, 3)
    assert done.tokens_in == NAMES_MAX + 3


@pytest.mark.parametrize("changes", [{"protocol": 17}, {"end": FlowEnd.UNCONFIRMED}])
def test_flow_that_can_have_no_requests_leaves_at_once(changes: dict[str, int]) -> None:
    assert join().flow(seen(**changes), 3.0) == [Flow(seen(**changes))]


@pytest.mark.parametrize(
    "changes",
    [{"client": "198.51.100.8:40000"}, {"client": "198.51.100.7:40001"}, {"server": "192.0.2.10:443"},
     {"server": "192.0.2.11:8444"}],
)  # fmt: skip
def test_request_of_another_connection_is_not_taken(changes: dict[str, str]) -> None:
    joined = join()
    joined.flow(seen(), 3.0)
    joined.request(request(**changes), 3.0)
    flows = joined.flush()
    assert [(flow.seen.end, flow.done.requests) for flow in flows] == [(FlowEnd.ENDED, 0), (FlowEnd.REQUESTS_ONLY, 1)]


def test_flow_without_rewrite_is_found_by_the_vip_s_port() -> None:
    joined = join()
    joined.flow(seen(group_port=443), 3.0)
    joined.request(request(server="192.0.2.10:443"), 3.0)
    assert one(joined.due(LATE)).done.requests == 1


def test_tuple_that_is_used_again_keeps_the_requests_of_both_apart() -> None:
    joined = join()
    first, second = seen(), seen(first_ns=4_000_000_000, start_ms=START_MS + 4_000, end_ms=START_MS + 6_000)
    joined.flow(first, 3.5)
    joined.request(at(4_500, arm="second"), 4.6)
    joined.request(at(2_900, arm="first"), 4.7)
    assert [flow.done.arm for flow in joined.flow(second, 6.0)] == ["first"]
    assert one(joined.due(LATE)).done.arm == "second"


def test_requests_of_a_connection_before_the_flow_leave_on_their_own() -> None:
    joined = join()
    joined.request(at(1_000 - SLACK_MS - 1, arm="before"), 1.0)
    alone = one(joined.flow(seen(), 3.0))
    assert (alone.seen.end, alone.done.arm) == (FlowEnd.REQUESTS_ONLY, "before")
    assert one(joined.due(LATE)).done is NOTHING_DONE


def test_requests_without_a_flow_leave_after_three_active_timeouts() -> None:
    joined = join()
    joined.request(request(), 1.0)
    assert joined.due(1.0 + 3 * ACTIVE_S - 0.1) == []
    alone = one(joined.due(1.0 + 3 * ACTIVE_S))
    assert (alone.seen.end, alone.seen.start_ms, alone.seen.end_ms) == (
        FlowEnd.REQUESTS_ONLY, START_MS + 1_500, START_MS + 1_900)  # fmt: skip
    assert alone.seen.packets_in == 0


def test_full_table_lets_the_oldest_go_and_counts_it() -> None:
    joined = join(entries_max=16)
    for port in range(16):
        assert joined.request(request(client=f"198.51.100.7:{port}"), 1.0) == []
    evicted = one(joined.request(request(client="198.51.100.7:16"), 1.0))
    assert (evicted.seen.client_port, evicted.seen.end, joined.evicted) == (0, FlowEnd.REQUESTS_ONLY, 1)
    evicted = one(joined.flow(seen(), 1.0))
    assert (evicted.seen.client_port, joined.evicted) == (1, 2)
    evicted = one(joined.flow(seen(client_port=1), 1.0))
    assert (evicted.seen.end, evicted.seen.client_port, joined.evicted) == (FlowEnd.ENDED, 40_000, 3)


def test_requests_of_a_flow_that_is_quiet_since_its_record_are_in_the_next_one() -> None:
    joined = join()
    listed = seen(end=FlowEnd.ACTIVE)
    one(joined.goes_on(listed, 1.0 + ACTIVE_S))
    # Its line was written after the flow was listed.
    joined.request(at(1_500), 2.0 + ACTIVE_S)
    assert joined.goes_on(listed, 2.0 + ACTIVE_S) == []
    late = one(joined.goes_on(listed, 1.0 + 2 * ACTIVE_S))
    assert (late.seen.packets_in, late.done.requests) == (0, 1)
    assert joined.goes_on(listed, 1.0 + 3 * ACTIVE_S) == joined.flush() == []


def test_quiet_flow_has_no_record_for_requests_of_a_later_connection() -> None:
    joined = join()
    listed = seen(end=FlowEnd.ACTIVE)
    one(joined.goes_on(listed, 1.0 + ACTIVE_S))
    joined.request(request(ts=rfc3339(listed.end_ms + SLACK_MS + 1), duration_ms=0), 2.0 + ACTIVE_S)
    assert joined.goes_on(listed, 1.0 + 2 * ACTIVE_S) == []
    assert one(joined.flush()).done.requests == 1


def test_flow_that_goes_on_has_records_of_what_is_new() -> None:
    joined = join()
    young = seen(end=FlowEnd.ACTIVE)
    joined.request(at(1_500), 2.0)
    assert joined.goes_on(young, 1.0 + ACTIVE_S - 0.1) == []
    first = one(joined.goes_on(young, 1.0 + ACTIVE_S))
    assert (first.seen.packets_in, first.done.requests) == (10, 1)
    assert joined.goes_on(seen(end=FlowEnd.ACTIVE, packets_in=50), 2 * ACTIVE_S) == []
    assert joined.goes_on(young, 1.0 + 2 * ACTIVE_S) == []
    joined.request(at(90_000), 90.0)
    second = one(joined.goes_on(seen(end=FlowEnd.ACTIVE, packets_in=50, end_ms=START_MS + 90_000), 1 + 2 * ACTIVE_S))
    assert (second.seen.packets_in, second.seen.bytes_in, second.done.requests) == (40, 0, 1)
    joined.flow(seen(packets_in=51, bytes_out=9_007, end_ms=START_MS + 130_000), 130.0)
    last = one(joined.due(LATE))
    assert (last.seen.packets_in, last.seen.bytes_out, last.seen.end, last.done.requests) == (1, 7, FlowEnd.ENDED, 0)


def test_flow_whose_end_was_lost_is_forgotten_after_two_sweeps() -> None:
    joined = join()
    joined.goes_on(seen(end=FlowEnd.ACTIVE), 100.0)
    for left in (1, 1, 0):
        joined.swept()
        assert len(joined.reported) == left


def test_flows_that_cannot_be_reported_while_they_go_on_are_counted_and_whole_at_their_end() -> None:
    joined = join(entries_max=1)
    joined.goes_on(seen(end=FlowEnd.ACTIVE), 100.0)
    assert joined.goes_on(seen(end=FlowEnd.ACTIVE, client_port=2), 100.0) == []
    assert joined.not_reported == 1
    joined.flow(seen(client_port=2), 101.0)
    assert one(joined.due(LATE)).seen.packets_in == 10


# Few tuples and few moments, so that they are used again and meet.
PORTS, SECONDS = st.integers(1, 3), st.integers(1, 400)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("request"), PORTS, st.integers(0, 400_000)),
        st.tuples(st.just("flow"), PORTS, SECONDS),
        st.tuples(st.just("due"), st.just(0), SECONDS),
    ),
    max_size=60,
)


def flow_at(port: int, second: int, number: int) -> Seen:
    start = START_MS + second * 1_000
    return seen(client_port=port, start_ms=start, end_ms=start + 1_500, first_ns=number, packets_in=number + 1)


@given(EVENTS, st.integers(1, 8))
def test_every_flow_leaves_once_and_every_request_is_in_one_record(
    events: list[tuple[str, int, int]], entries_max: int
) -> None:
    joined = join(entries_max)
    out: list[Flow] = []
    now, flows, requests = 0.0, 0, 0
    for kind, port, moment in events:
        if kind == "request":
            requests += 1
            asked = at(moment, client=f"198.51.100.7:{port}", prompt_tokens=requests, completion_tokens=1)
            out += joined.request(asked, now)
        elif kind == "flow":
            out += joined.flow(flow_at(port, moment, flows), now)
            flows += 1
        else:
            now += moment
            out += joined.due(now)
        assert len(joined.ended) + len(joined.held) <= entries_max
    out += joined.flush()
    seen_flows = [flow.seen.first_ns for flow in out if flow.seen.end is not FlowEnd.REQUESTS_ONLY]
    assert sorted(seen_flows) == list(range(flows))
    assert sum(flow.seen.packets_in for flow in out) == flows * (flows + 1) // 2
    assert sum(flow.done.requests for flow in out) == requests
    assert sum(flow.done.tokens_in for flow in out) == requests * (requests + 1) // 2
    assert sum(arm.tokens_out for flow in out for arm in flow.done.arms) == requests
    assert joined.flush() == []


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 90)), min_size=1, max_size=20), st.integers(1, 2))
def test_records_of_a_flow_that_goes_on_add_up_to_the_flow(steps: list[tuple[int, int]], entries_max: int) -> None:
    joined = join(entries_max)
    packets, now, out = 10, 1.0, []
    for more, seconds in steps:
        packets, now = packets + more, now + seconds
        listed = seen(end=FlowEnd.ACTIVE, packets_in=packets, bytes_out=packets * 3, end_ms=START_MS + int(now * 1000))
        out += joined.goes_on(listed, now)
        joined.swept()
    out += joined.flow(seen(packets_in=packets + 1, bytes_out=packets * 3, end_ms=START_MS + int(now * 1000)), now)
    out += joined.flush()
    assert sum(flow.seen.packets_in for flow in out) == packets + 1
    assert sum(flow.seen.bytes_out for flow in out) == packets * 3
    assert [flow.seen.end for flow in out].count(FlowEnd.ENDED) == 1
    assert joined.reported == {}


def test_ends_have_the_numbers_of_the_packet_stage() -> None:
    assert [FlowEnd(number).label for number in range(abi.FLOW_ENDED, abi.FLOW_ACTIVE + 1)] == [
        "ended", "idle", "unconfirmed", "removed", "active"]  # fmt: skip
