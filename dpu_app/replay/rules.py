"""Which entry of the tables is behind an answer: what a change of policy is grouped by."""

from __future__ import annotations

import ipaddress

from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanAcl, PlanPacket
from dpu_app.replay.acl import Acl
from dpu_app.replay.answer import Answer, reason_label
from dpu_app.replay.names import PROTOCOLS, Names
from dpu_app.replay.parse import IfOurs, Segment, parse


class Rules:
    """The entries of one plan, as people wrote them."""

    def __init__(self, packet: PlanPacket) -> None:
        self.names = Names(packet)
        self._acl = Acl(packet.tables.acl)
        self._vips = {
            (ipaddress.ip_address(vip.address).packed, vip.protocol, vip.port): vip for vip in packet.tables.vips
        }
        self._addresses = {address for address, _, _ in self._vips}

    def behind(self, frame: bytes, answer: Answer) -> str:
        """The entry that decided, as one line; the rules that have no entry say so."""
        parsed = parse(frame)
        if isinstance(parsed, Segment):
            return self._behind_segment(parsed, answer)
        if isinstance(parsed, IfOurs) and parsed.destination in self._addresses:
            return f"vip {ipaddress.ip_address(parsed.destination)}: {parsed.reason.name.lower()}"
        return "no entry: not for a VIP"

    def _behind_segment(self, segment: Segment, answer: Answer) -> str:
        vip = self._vips.get((segment.destination, segment.protocol, segment.destination_port))
        if vip is None:
            return "no entry: not for a VIP"
        service = self.names.service(vip.service)
        reason = reason_label(answer.reason)
        if reason.startswith("acl_"):
            entry = self._acl.entry(vip.service, segment.source, segment.destination_port)
            return acl_text(service, entry)
        if reason.startswith("meter_"):
            return f"meter {service} {reason.removeprefix('meter_')}"
        if answer.group:
            return f"steer {service} -> {self.names.group(answer.group)} port {answer.port}"
        if answer.reason in (Reason.NONE, Reason.PACKET_FLOW_FULL):
            return f"vip {service} {vip.address} port {vip.port}/{PROTOCOLS[vip.protocol]}"
        return f"vip {service}: {reason}"

    def permit(self, frame: bytes) -> str | None:
        """The ACL entry that lets a frame through, where there is one."""
        parsed = parse(frame)
        if not isinstance(parsed, Segment):
            return None
        vip = self._vips.get((parsed.destination, parsed.protocol, parsed.destination_port))
        entry = self._acl.entry(vip.service, parsed.source, parsed.destination_port) if vip else None
        return acl_text(self.names.service(vip.service), entry) if vip and entry else None


def acl_text(service: str, entry: PlanAcl | None) -> str:
    """`acl chat 198.51.100.0/24 port any deny acl_denied`."""
    if entry is None:
        return f"acl {service}"
    action = f"deny {reason_label(entry.deny)}" if entry.deny else "permit"
    return f"acl {service} {entry.source} port {entry.port or 'any'} {action}"


def responsible(frame: bytes, a: tuple[Rules, Answer], b: tuple[Rules, Answer]) -> str:
    """The rule whose change made `a` into `b`, and the side that has it.

    What drops is behind a drop, on the side that drops; what steers or makes a VIP, on the side that has it.
    """
    (rules_a, answer_a), (rules_b, answer_b) = a, b
    if not answer_b.passed and (answer_a.passed or answer_b.service):
        return f"b: {rules_b.behind(frame, answer_b)}"
    if not answer_a.passed:
        permit = rules_b.permit(frame) if reason_label(answer_a.reason).startswith("acl_") else None
        return f"b: {permit}" if permit and permit != rules_a.permit(frame) else f"a: {rules_a.behind(frame, answer_a)}"
    if answer_b.service:
        return f"b: {rules_b.behind(frame, answer_b)}"
    return f"a: {rules_a.behind(frame, answer_a)}"
