"""Whatever a controller or a device sends: refused by a code, never a crash, and never half done."""

from __future__ import annotations

from itertools import islice
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dpu_app.p4rt.codec import EntityError
from dpu_app.p4rt.entities import BANKED, entries
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.reading import read
from dpu_app.p4rt.stubs import Message, v1
from dpu_app.p4rt.xdp_state import XdpState
from tests.unit.dpu_app.p4rt.packet_samples import TABLES
from tests.unit.dpu_app.p4rt.wire import INSERT, SCHEMA, entry

GOOD = [entry(INSERT, key, call) for key, call in list(entries(TABLES, 0).items())[:12]]
octets = st.binary(max_size=18) | st.sampled_from([b"\x00", b"\x01", b"\x06", b"\x01\xbb", b"\xff\xff"])
ids = st.sampled_from([0, 1, 2, 3, 4, *SCHEMA.tables, *SCHEMA.actions, *SCHEMA.meters, *SCHEMA.counters])
matches = st.one_of(
    st.fixed_dictionaries({"field_id": ids, "exact": st.fixed_dictionaries({"value": octets})}),
    st.fixed_dictionaries({"field_id": ids, "ternary": st.fixed_dictionaries({"value": octets, "mask": octets})}),
    st.fixed_dictionaries({"field_id": ids, "lpm": st.fixed_dictionaries({"value": octets})}),
)
params = st.fixed_dictionaries({"param_id": ids, "value": octets})
actions = st.fixed_dictionaries(
    {"action": st.fixed_dictionaries({"action_id": ids, "params": st.lists(params, max_size=4)})}
)
table_entries = st.builds(
    v1.TableEntry,
    table_id=ids,
    match=st.lists(matches, max_size=5),
    action=st.none() | actions,
    priority=st.sampled_from([0, 1, 193, 257, -1]),
    is_default_action=st.booleans(),
)
numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 3)
configs = st.fixed_dictionaries(dict.fromkeys(("cir", "cburst", "pir", "pburst", "eburst"), numbers))
meter_entries = st.builds(
    v1.MeterEntry,
    meter_id=ids,
    index=st.fixed_dictionaries({"index": numbers}),
    config=st.none() | configs,
)
entities = st.one_of(
    st.builds(v1.Entity, table_entry=table_entries),
    st.builds(v1.Entity, meter_entry=meter_entries),
    st.builds(v1.Entity, counter_entry=st.fixed_dictionaries({"counter_id": ids, "index": st.none()})),
    st.sampled_from([v1.Entity(), v1.Entity(digest_entry={}), v1.Entity(direct_counter_entry={})]),
)


@st.composite
def spoiled(draw: Any) -> Message:
    """A good update of which one thing is different."""
    update = v1.Update()
    update.CopyFrom(draw(st.sampled_from(GOOD)))
    found = update.entity.table_entry
    spoil = draw(st.sampled_from(["match", "value", "action", "table", "type", "nothing"]))
    if spoil == "match":
        del found.match[draw(st.integers(0, len(found.match) - 1))]
    elif spoil == "value":
        found.match[0].exact.value = draw(octets)
    elif spoil == "action":
        found.action.action.action_id = draw(ids)
    elif spoil == "table":
        found.table_id = draw(ids)
    elif spoil == "type":
        update.type = draw(st.integers(0, 3))
    return update


updates = st.builds(v1.Update, type=st.integers(0, 3), entity=entities) | spoiled()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(updates, max_size=6), max_size=3))
def test_batches_are_refused_by_code_and_the_back_end_has_what_reads_say(batches: list[list[Message]]) -> None:
    backend = MemoryBackend()
    state = XdpState(SCHEMA, backend)
    for batch in batches:
        failed = state.batch(batch)
        assert all(error.status for error in failed.values())
    before = state.all_entries(BANKED)
    state.refresh()
    assert state.all_entries(BANKED) == before
    assert [state.tables(bank) for bank in (0, 1)] == backend.banks


@settings(max_examples=200, deadline=None)
@given(entities)
def test_reads_answer_or_are_refused_by_code(entity: Message) -> None:
    state = XdpState(SCHEMA, MemoryBackend())
    state.refresh()
    try:
        kinds = {answer.WhichOneof("entity") for answer in islice(read(state, {}, entity), 200)}
    except EntityError as error:
        assert error.status
    else:
        assert kinds <= {entity.WhichOneof("entity")}
