"""IPFIX messages: bounded, numbered, and readable by a reader of the RFC's own words."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abi.gen.reasons import Reason
from dpu_app.telemetry.flows.elements import COMMON, IANA, IPV4, IPV6, OURS, REVERSE, VARIABLE, forwarding_status
from dpu_app.telemetry.flows.ipfix import MESSAGE_BYTES_MAX, Encoder
from dpu_app.telemetry.flows.record import Flow, address_bytes
from tests.unit.dpu_app.telemetry.flows.samples import CLIENT6, START_MS, VIP6, flow, seen

ENTERPRISE = 32473
NOW_S = 1_700_000_100
PAGE = Path(__file__).resolve().parents[5] / "docs/guide/flows.md"
SIX = {"client": address_bytes(CLIENT6), "server": address_bytes(VIP6)}


def encoder() -> Encoder:
    return Encoder(observation_domain=9, enterprise_number=ENTERPRISE)


def bodies(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(set id, content) of a message, by RFC 7011, section 3.3.2."""
    place = 16
    while place < len(message):
        number, length = struct.unpack_from("!HH", message, place)
        yield number, message[place + 4 : place + length]
        place += length
    assert place == len(message)


def templates(message: bytes) -> dict[int, list[tuple[int, int, int]]]:
    """Template id -> (enterprise, element, length) of its fields, by RFC 7011, section 3.4.1."""
    found = {}
    for number, body in bodies(message):
        assert number == 2
        place = 0
        while place < len(body):
            template, count = struct.unpack_from("!HH", body, place)
            place += 4
            fields = []
            for _ in range(count):
                element, length = struct.unpack_from("!HH", body, place)
                place += 4
                enterprise = 0
                if element & 0x8000:
                    (enterprise,) = struct.unpack_from("!I", body, place)
                    place += 4
                fields.append((enterprise, element & 0x7FFF, length))
            found[template] = fields
    return found


def records(message: bytes, known: dict[int, list[tuple[int, int, int]]]) -> list[dict[tuple[int, int], bytes]]:
    """(enterprise, element) -> bytes, of every record of a message, by RFC 7011, sections 3.4.3 and 7."""
    found = []
    for number, body in bodies(message):
        place = 0
        while place < len(body):
            record = {}
            for enterprise, element, length in known[number]:
                if length == VARIABLE:
                    length, place = body[place], place + 1
                    assert length < 255
                record[enterprise, element] = body[place : place + length]
                place += length
            found.append(record)
        assert place == len(body)
    return found


def test_record_reads_back_by_its_template() -> None:
    made = encoder()
    known = templates(made.template_message(NOW_S))
    ((message, count),) = made.messages([flow(), flow(**SIX)], NOW_S)
    four, six = records(message, known)
    assert count == 2
    assert (four[0, 8], four[0, 12]) == (bytes([198, 51, 100, 7]), bytes([192, 0, 2, 10]))
    assert (six[0, 27], six[0, 28]) == (address_bytes(CLIENT6), address_bytes(VIP6))
    numbers = {field: int.from_bytes(value, "big") for field, value in four.items()}
    assert (numbers[0, 7], numbers[0, 11], numbers[0, 4]) == (40_000, 443, 6)
    assert (numbers[0, 152], numbers[0, 153]) == (START_MS + 1_000, START_MS + 3_000)
    assert (numbers[0, 2], numbers[0, 352], numbers[0, 1]) == (10, 2_000, 2_000 - 14 * 10)
    assert (numbers[29305, 2], numbers[29305, 352], numbers[29305, 1]) == (8, 9_000, 9_000 - 14 * 8)
    assert (numbers[0, 6], numbers[29305, 6], numbers[0, 136], numbers[0, 239]) == (0x1B, 0x13, 3, 1)
    ours = {element: value for (enterprise, element), value in four.items() if enterprise == ENTERPRISE}
    assert [ours[n].decode() for n in range(13, 20)] == [
        "blue", "public", "alpha", "chat", "stable", "w0", "answered"]  # fmt: skip
    assert [int.from_bytes(ours[n], "big") for n in range(3, 13)] == [7, 8444, 5, 6, 1, 1, 12, 30, 21_500, 21_500]
    assert four[0, 96] == b"chat"


def test_header_has_length_time_domain_and_the_number_of_records_before() -> None:
    made = encoder()
    first = made.template_message(NOW_S)
    ((second, _),) = made.messages([flow(), flow()], NOW_S)
    ((third, _),) = made.messages([flow()], NOW_S + 1)
    headers = [struct.unpack_from("!HHIII", message) for message in (first, second, third)]
    assert headers == [
        (10, len(first), NOW_S, 0, 9), (10, len(second), NOW_S, 0, 9), (10, len(third), NOW_S + 1, 2, 9)]  # fmt: skip


def test_sequence_number_wraps() -> None:
    made = encoder()
    made.sequence = 0xFFFF_FFFF
    made.messages([flow()], NOW_S)
    assert made.sequence == 0


def test_longest_record_fits_in_a_message_with_its_header() -> None:
    for template in encoder().templates.values():
        assert 16 + 4 + template.record_bytes_max <= MESSAGE_BYTES_MAX


TEXTS = st.text(max_size=300)


@given(st.lists(st.tuples(st.booleans(), TEXTS, TEXTS), max_size=12))
def test_messages_stay_within_the_least_mtu_and_hold_every_record(wanted: list[tuple[bool, str, str]]) -> None:
    made = encoder()
    known = templates(made.template_message(NOW_S))
    plain = flow()
    flows = [
        Flow(seen(service=service, **(SIX if six else {})), replace(plain.done, model=model, worker=model))
        for six, service, model in wanted
    ]
    sent = made.messages(flows, NOW_S)
    found = [record for message, _ in sent for record in records(message, known)]
    assert all(len(message) <= MESSAGE_BYTES_MAX for message, _ in sent)
    assert len(found) == sum(count for _, count in sent) == len(flows) == made.sequence
    # Whole characters: a text that is cut is a beginning of it.
    texts = sorted(record[0, 96].decode() for record in found)
    assert len(texts) == len(flows)
    services = [service.encode(errors="replace").decode() for _, service, _ in wanted]
    assert all(any(service.startswith(text) for service in services) for text in texts)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(Reason.NONE, 64), (Reason.PACKET_FLOW_FULL, 64), (Reason.PACKET_TCP_FLAGS, 128), (Reason.ACL_DENIED, 129),
     (Reason.ACL_ABUSE, 129), (Reason.METER_SOURCE_BYTES, 138), (Reason.METER_SERVICE_CONNECTIONS, 138), (9_999, 128)],
)  # fmt: skip
def test_verdict_is_iana_s_forwarding_status(reason: int, expected: int) -> None:
    assert forwarding_status(seen(reason=reason)) == expected


def test_elements_are_those_that_the_guide_lists() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (ours|reverse|IANA) (\d+) \|", PAGE.read_text(), flags=re.MULTILINE)
    registries = {IANA: "IANA", REVERSE: "reverse", OURS: "ours"}
    elements = [*IPV4, *IPV6, *COMMON]
    assert sorted(listed) == sorted((e.name, registries[e.enterprise], str(e.number)) for e in elements)
