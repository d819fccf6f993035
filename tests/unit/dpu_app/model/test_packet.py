"""The packet section: what is refused, each with its fix."""

from __future__ import annotations

import pytest

from tests.unit.dpu_app.samples import TEXT, problems

PACKET = """\
packet:
  interface: uplink
  vips:
    - { service: api, address: 192.0.2.10, port: 443 }
    - { service: api, address: "2001:db8::10", port: 443 }
    - { service: dns, address: 192.0.2.10, protocol: udp, port: 53 }
  acl:
    - { service: api, source: 203.0.113.0/24, action: deny }
  meters:
    - { service: api, per_source: { packets: { per_s: 0, burst: 10 } } }
  steer:
    - service: api
      groups:
        - { name: blue, port: 8443, weight_percent: 90 }
        - { name: green, port: 8444, weight_percent: 10 }
"""


def told(*changes: tuple[str, str]) -> list[tuple[str, str]]:
    """Path and words of what is wrong with PACKET after these changes."""
    text = PACKET
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    found = problems(TEXT + text)
    assert all(problem.fix for problem in found)
    return [(problem.path, problem.what) for problem in found]


def test_whole_section_is_accepted() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("old", "new", "path", "what"),
    [
        ("interface: uplink", "interface: a/b", "packet.interface", "characters"),
        (
            "address: 192.0.2.10, port: 443",
            "address: localhost, port: 443",
            "packet.vips[0].address",
            "not an IP address",
        ),
        ("address: 192.0.2.10, port: 443", "address: 0.0.0.0, port: 443", "packet.vips[0].address", "one host"),
        ('"2001:db8::10"', '"::ffff:192.0.2.11"', "packet.vips[1].address", "packets carry"),
        ("port: 53", "port: 0", "packet.vips[2].port", "too small"),
        ("203.0.113.0/24", "203.0.113.1/24", "packet.acl[0].source", "bits beyond its length"),
        ("203.0.113.0/24", "203.0.113.0", "packet.acl[0].source", "bits beyond its length"),
        ("203.0.113.0/24", '"::ffff:203.0.113.0/120"', "packet.acl[0].source", "IPv4 written as IPv6"),
        ("action: deny", "action: drop", "packet.acl[0].action", "not known"),
        ("burst: 10 ", "burst: 0 ", "packet.meters[0].per_source.packets.burst", "too small"),
        ("  steer:", "  meter_cells: 1000\n  steer:", "packet.meter_cells", "power of two"),
        ("  steer:", "  flows: { entries_max: 100 }\n  steer:", "packet.flows.entries_max", "too small"),
    ],
)
def test_value_is_refused(old: str, new: str, path: str, what: str) -> None:
    found = told((old, new))
    assert [place for place, _ in found] == [path]
    assert what in found[0][1]


@pytest.mark.parametrize(
    ("old", "new", "path", "what"),
    [
        ("acl:\n    - { service: api", "acl:\n    - { service: web", "packet.acl[0].service", "no VIP belongs"),
        ("weight_percent: 90", "weight_percent: 80", "packet.steer[0].groups", "add up to 90"),
        ("name: green", "name: blue", "packet.steer[0].groups[1].name", "already"),
        ("port: 8444", "port: 8443", "packet.steer[0].groups[1].port", "already"),
        ("protocol: udp, port: 53", "port: 443", "packet.vips[2]", "already"),
        ("protocol: udp, port: 53", "port: 8443", "packet.vips[2]", "could be of port 443 or of 8443"),
        ("interface: uplink", "interface: uplink\n  meter_cells: 65536\n  mode: auto", "", ""),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(old: str, new: str, path: str, what: str) -> None:
    found = told((old, new))
    assert [place for place, _ in found] == ([path] if path else [])
    assert not found or what in found[0][1]


def test_more_cells_than_there_are_is_refused() -> None:
    more = (
        "  steer:",
        "    - { service: dns, per_source: { packets: { per_s: 1, burst: 1 } } }\n  meter_cells: 65536\n  steer:",
    )
    assert [place for place, _ in told(more)] == ["packet.meter_cells"]


def test_tables_have_one_writer() -> None:
    found = told(("interface: uplink", "interface: uplink\n  programmed_by: p4runtime"))
    assert [place for place, _ in found] == ["packet.vips", "packet.acl", "packet.meters", "packet.steer"]


def test_more_services_than_ids_are_refused() -> None:
    vips = "".join(f"    - {{ service: s{i}, address: 192.0.2.10, port: {i} }}\n" for i in range(1, 66))
    found = problems(TEXT + "packet:\n  interface: uplink\n  vips:\n" + vips)
    assert [problem.path for problem in found] == ["packet.vips[63].service", "packet.vips[64].service"]
