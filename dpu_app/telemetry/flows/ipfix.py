"""IPFIX messages of flow records (RFC 7011), both directions in one record (RFC 5103). Bytes out, no I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from dpu_app.telemetry.flows.elements import COMMON, IANA, IPV4, IPV6, OURS, VARIABLE, Element
from dpu_app.telemetry.flows.record import Flow, is_ipv4

VERSION = 10
HEADER = struct.Struct("!HHIII")
SET_HEADER = struct.Struct("!HH")
TEMPLATE_SET = 2
ENTERPRISE_BIT = 0x8000
IPV4_TEMPLATE, IPV6_TEMPLATE = 256, 257
MESSAGE_BYTES_MAX = 1_232
"""The least MTU of IPv6 (1,280 bytes) less the headers of IPv6 and UDP: a message is never a fragment, on any path."""
SHORT_MAX = 254
"""Texts are shorter than what needs the long form of a length (RFC 7011, section 7)."""


class Template:
    """A template and how its records are written."""

    def __init__(self, number: int, elements: Sequence[Element], enterprise_number: int) -> None:
        self.number = number
        self.fixed = [element for element in elements if element.length != VARIABLE]
        self.texts = [element for element in elements if element.length == VARIABLE]
        # Fixed ones first, so that one struct writes them all.
        assert [*self.fixed, *self.texts] == list(elements)
        assert all(0 < element.text_max <= SHORT_MAX for element in self.texts)
        self.layout = struct.Struct("!" + "".join(element.form for element in self.fixed))
        self.definition = definition(number, elements, enterprise_number)

    @property
    def record_bytes_max(self) -> int:
        """The longest record."""
        return self.layout.size + sum(1 + element.text_max for element in self.texts)

    def record(self, flow: Flow) -> bytes:
        """A data record."""
        parts = [self.layout.pack(*(element.value(flow) for element in self.fixed))]
        for element in self.texts:
            data = cut(element.value(flow), element.text_max)
            parts += (bytes((len(data),)), data)
        return b"".join(parts)


def definition(number: int, elements: Sequence[Element], enterprise_number: int) -> bytes:
    """A template record (RFC 7011, section 3.4.1)."""
    parts = [struct.pack("!HH", number, len(elements))]
    for element in elements:
        if element.enterprise == IANA:
            parts.append(struct.pack("!HH", element.number, element.length))
        else:
            enterprise = enterprise_number if element.enterprise == OURS else element.enterprise
            parts.append(struct.pack("!HHI", element.number | ENTERPRISE_BIT, element.length, enterprise))
    return b"".join(parts)


def cut(text: str, bytes_max: int) -> bytes:
    """UTF-8 of at most so many bytes, whole characters."""
    data = text.encode(errors="replace")
    return data if len(data) <= bytes_max else data[:bytes_max].decode(errors="ignore").encode()


class Encoder:
    """One stream of messages to one collector. Its sequence number counts data records that were given out."""

    def __init__(self, observation_domain: int, enterprise_number: int) -> None:
        self.observation_domain = observation_domain
        self.templates = {
            True: Template(IPV4_TEMPLATE, IPV4 + COMMON, enterprise_number),
            False: Template(IPV6_TEMPLATE, IPV6 + COMMON, enterprise_number),
        }
        self.sequence = 0

    def template_message(self, unix_s: int) -> bytes:
        """A message with every template and no record."""
        return self.message([a_set(TEMPLATE_SET, [t.definition for t in self.templates.values()])], unix_s)

    def messages(self, flows: Iterable[Flow], unix_s: int) -> list[tuple[bytes, int]]:
        """Messages with the records of all flows, each with how many are in it."""
        out = []
        records: list[tuple[int, bytes]] = []
        size = HEADER.size
        for flow in flows:
            template = self.templates[is_ipv4(flow.seen.client)]
            record = template.record(flow)
            # Every record might need a set of its own.
            needs = SET_HEADER.size + len(record)
            if size + needs > MESSAGE_BYTES_MAX:
                out.append(self.data_message(records, unix_s))
                records, size = [], HEADER.size
            records.append((template.number, record))
            size += needs
        if records:
            out.append(self.data_message(records, unix_s))
        return out

    def data_message(self, records: list[tuple[int, bytes]], unix_s: int) -> tuple[bytes, int]:
        """A message with these records, by template, and how many they are."""
        by_template: dict[int, list[bytes]] = {}
        for number, record in records:
            by_template.setdefault(number, []).append(record)
        message = self.message([a_set(number, several) for number, several in by_template.items()], unix_s)
        self.sequence = (self.sequence + len(records)) & 0xFFFF_FFFF
        return message, len(records)

    def message(self, sets: list[bytes], unix_s: int) -> bytes:
        """Sets with the header in front. The sequence number is that of the first record in it."""
        body = b"".join(sets)
        length = HEADER.size + len(body)
        return HEADER.pack(VERSION, length, unix_s, self.sequence, self.observation_domain) + body


def a_set(number: int, records: list[bytes]) -> bytes:
    """A set of records of one template, or of templates."""
    body = b"".join(records)
    return SET_HEADER.pack(number, SET_HEADER.size + len(body)) + body
