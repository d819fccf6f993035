"""Table entries on the wire: what is taken, and the code for what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpu_app.p4rt import schema
from dpu_app.p4rt.codec import Call, EntityError, Key, decode_call, decode_key, describe, encode, from_bytes, to_bytes
from dpu_app.p4rt.schema import Field
from dpu_app.p4rt.stubs import Message, code

SCHEMA = schema.load()
ACL = Key("acl", (0, 1, (0xFF00, 0xFF00), (443, 0xFFFF)), 7)
DENY = Call("deny", (40,))


@pytest.mark.parametrize(("value", "data"), [(0, b"\x00"), (99, b"\x63"), (256, b"\x01\x00"), (12388, b"\x30\x64")])
def test_canonical_form_is_the_shortest(value: int, data: bytes) -> None:
    assert to_bytes(value) == data


@given(st.integers(0, (1 << 128) - 1), st.integers(0, 3))
def test_leading_zeros_are_taken(value: int, zeros: int) -> None:
    assert from_bytes(bytes(zeros) + to_bytes(value), Field(1, "x", 128), "t") == value


@pytest.mark.parametrize(("data", "bits"), [(b"", 16), (b"\x02", 1), (b"\x01\x63", 8), (b"\x10\x63", 12)])
def test_empty_and_too_wide_values_are_out_of_range(data: bytes, bits: int) -> None:
    with pytest.raises(EntityError) as refused:
        from_bytes(data, Field(1, "x", bits), "t")
    assert refused.value.status == code.OUT_OF_RANGE


def test_dont_care_is_left_out_and_comes_back() -> None:
    key = Key("acl", (0, 1, (0, 0), (0, 0)), 1)
    message = encode(SCHEMA, key, Call("permit"))
    assert [item.field_id for item in message.match] == [1, 2]
    assert decode_key(SCHEMA, message) == key


def no_table(entry: Message) -> None:
    entry.table_id = 0x02FFFFFF


def no_priority(entry: Message) -> None:
    entry.priority = 0


def unknown_field(entry: Message) -> None:
    entry.match.add(field_id=9).exact.value = b"\x01"


def field_twice(entry: Message) -> None:
    entry.match.add(field_id=1).exact.value = b"\x01"


def field_missing(entry: Message) -> None:
    del entry.match[0]


def wrong_kind(entry: Message) -> None:
    entry.match[0].lpm.value = b"\x01"


def empty_kind(entry: Message) -> None:
    entry.match[0].ClearField("exact")


def zero_mask(entry: Message) -> None:
    entry.match[2].ternary.mask = b"\x00"


def bits_outside(entry: Message) -> None:
    entry.match[2].ternary.mask = b"\x0f\x00"


def default_with_match(entry: Message) -> None:
    entry.is_default_action = True


@pytest.mark.parametrize(
    "spoil",
    [
        *(no_table, no_priority, unknown_field, field_twice, field_missing, wrong_kind, empty_kind, zero_mask),
        *(bits_outside, default_with_match),
    ],
)
def test_malformed_key_is_an_invalid_argument(spoil: Callable[[Message], None]) -> None:
    entry = encode(SCHEMA, ACL, DENY)
    spoil(entry)
    with pytest.raises(EntityError) as refused:
        decode_key(SCHEMA, entry)
    assert refused.value.status == code.INVALID_ARGUMENT
    assert describe(SCHEMA, entry).startswith("entry of table 0x")


def test_priority_in_an_exact_table_is_refused() -> None:
    entry = encode(SCHEMA, Key("meter_source", (0, 1)), Call("meters", (0, 0, 0, 1)))
    entry.priority = 1
    with pytest.raises(EntityError, match="priority 1 has no meaning"):
        decode_key(SCHEMA, entry)


def test_regular_entry_of_a_table_without_key_is_refused() -> None:
    entry = encode(SCHEMA, Key("set_epoch"), Call("set_epoch", (1,)))
    assert entry.is_default_action
    entry.is_default_action = False
    with pytest.raises(EntityError, match="MODIFY its default entry"):
        decode_key(SCHEMA, entry)


def foreign_action(entry: Message) -> None:
    entry.action.action.action_id = SCHEMA.action("meters").id


def default_only_action(entry: Message) -> None:
    entry.action.action.action_id = SCHEMA.action("NoAction").id


def member(entry: Message) -> None:
    entry.action.action_profile_member_id = 1


def no_parameter(entry: Message) -> None:
    del entry.action.action.params[0]


def parameter_twice(entry: Message) -> None:
    entry.action.action.params.add(param_id=1, value=b"\x01")


def test_action_of_the_default_entry_alone_is_denied_to_others() -> None:
    entry = encode(SCHEMA, ACL, DENY)
    default_only_action(entry)
    with pytest.raises(EntityError) as refused:
        decode_call(SCHEMA, entry)
    assert refused.value.status == code.PERMISSION_DENIED


@pytest.mark.parametrize("spoil", [foreign_action, member, no_parameter, parameter_twice])
def test_malformed_action_is_an_invalid_argument(spoil: Callable[[Message], None]) -> None:
    entry = encode(SCHEMA, ACL, DENY)
    spoil(entry)
    with pytest.raises(EntityError) as refused:
        decode_call(SCHEMA, entry)
    assert refused.value.status == code.INVALID_ARGUMENT


def test_entries_are_named_in_words() -> None:
    text = describe(SCHEMA, encode(SCHEMA, ACL, DENY))
    assert text == "acl bank=0 service=1 source=0xff00&0xff00 port=0x1bb&0xffff priority 7"
