"""The one configuration that the packet cases are written for: 192.0.2.N and 2001:db8::N are the same service."""

from __future__ import annotations

import functools
import io

from ruamel.yaml import YAML

from dpu_app.compile.packet import packet
from dpu_app.model.cross_packet import findings
from dpu_app.model.packet import Packet
from dpu_app.model.plan_packet import PlanPacket

# Service -> last number of its addresses, protocols, ports.
SERVICES = {
    "web": (10, ("tcp", "udp"), (443,)),
    "plain": (11, ("tcp", "udp"), (80,)),
    "same-port": (12, ("tcp",), (443,)),
    "split": (13, ("tcp", "udp"), (443,)),
    "guarded": (20, ("tcp",), (443, 8080)),
    "source-packets": (21, ("tcp", "udp"), (443,)),
    "source-bytes": (22, ("tcp", "udp"), (443,)),
    "source-connections": (23, ("tcp", "udp"), (443,)),
    "service-packets": (24, ("tcp",), (443,)),
    "service-bytes": (25, ("tcp",), (443,)),
    "service-connections": (26, ("tcp",), (443,)),
    "order": (27, ("tcp",), (443,)),
    "refill": (28, ("tcp",), (443,)),
    "prefix": (29, ("tcp",), (443,)),
}

VIPS = "".join(
    f"    - {{ service: {name}, address: '{prefix}{number:d}', protocol: {protocol}, port: {port} }}\n"
    for name, (number, protocols, ports) in SERVICES.items()
    for prefix in ("192.0.2.", "2001:db8::")
    for protocol in protocols
    for port in ports
)

ACL = """\
    - { service: guarded, source: 198.51.100.0/24, action: deny }
    - { service: guarded, source: 198.51.100.64/26, action: permit }
    - { service: guarded, source: 198.51.100.65/32, action: deny, reason: acl_quarantined }
    - { service: guarded, source: 198.51.100.66/32, port: 8080, action: deny, reason: acl_abuse }
    - { service: guarded, source: 198.51.100.128/25, port: 443, action: permit }
    - { service: guarded, source: 198.51.100.128/25, action: deny, reason: acl_quarantined }
    - { service: guarded, source: 203.0.113.0/24, port: 443, action: deny, reason: acl_abuse }
    - { service: guarded, source: '2001:db8:c1::/64', action: deny }
    - { service: guarded, source: '2001:db8:c1::40/122', action: permit }
    - { service: guarded, source: '2001:db8:c1::41/128', action: deny, reason: acl_quarantined }
    - { service: guarded, source: '2001:db8:c1::42/128', port: 8080, action: deny, reason: acl_abuse }
    - { service: guarded, source: '2001:db8:c1::80/121', port: 443, action: permit }
    - { service: guarded, source: '2001:db8:c1::80/121', action: deny, reason: acl_quarantined }
    - { service: guarded, source: '::/0', action: deny, reason: acl_abuse }
    - { service: guarded, source: '2001:db8:d1::/64', action: permit }
    - { service: same-port, source: '0.0.0.0/0', action: deny }
"""

METERS = """\
    - { service: source-packets, ipv6_prefix_length: 128, per_source: { packets: { per_s: 0, burst: 2 } } }
    - { service: source-bytes, ipv6_prefix_length: 128, per_source: { bytes: { per_s: 0, burst: 200 } } }
    - { service: source-connections, per_source: { connections: { per_s: 0, burst: 1 } } }
    - { service: service-packets, per_service: { packets: { per_s: 0, burst: 3 } } }
    - { service: service-bytes, per_service: { bytes: { per_s: 0, burst: 200 } } }
    - { service: service-connections, per_service: { connections: { per_s: 0, burst: 2 } } }
    - service: order
      ipv6_prefix_length: 128
      per_source: { packets: { per_s: 0, burst: 3 }, bytes: { per_s: 0, burst: 100 } }
      per_service: { packets: { per_s: 0, burst: 100 } }
    - { service: refill, ipv6_prefix_length: 128, per_source: { packets: { per_s: 2, burst: 1 } } }
    - service: prefix
      ipv4_prefix_length: 28
      ipv6_prefix_length: 124
      per_source: { packets: { per_s: 0, burst: 2 } }
"""

TEXT = f"""\
packet:
  interface: wire0
  vips:
{VIPS}  acl:
{ACL}  meters:
{METERS}  steer:
    - {{ service: web, groups: [{{ name: main, port: 8443, weight_percent: 100 }}] }}
    - {{ service: same-port, groups: [{{ name: main, port: 443, weight_percent: 100 }}] }}
    - service: split
      groups:
        - {{ name: stable, port: 8443, weight_percent: 50 }}
        - {{ name: canary, port: 9443, weight_percent: 50 }}
  flows: {{ entries_max: 4096 }}
"""


@functools.cache
def desired(text: str) -> Packet:
    """The packet stage of a configuration, which fits together."""
    found = Packet.model_validate(YAML(typ="safe").load(io.StringIO(text))["packet"])
    assert list(findings(found)) == []
    return found


@functools.cache
def plan(text: str = TEXT, previous: PlanPacket | None = None) -> PlanPacket:
    """The compiled packet stage."""
    compiled = packet(desired(text), previous)
    assert compiled is not None
    return compiled


def split_weights(stable: int) -> str:
    """The configuration with other weights of `split`."""
    before = "name: stable, port: 8443, weight_percent: 50 }", "name: canary, port: 9443, weight_percent: 50 }"
    text = TEXT.replace(before[0], before[0].replace("50", str(stable)))
    return text.replace(before[1], before[1].replace("50", str(100 - stable)))
