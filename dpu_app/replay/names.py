"""Names of what a plan numbers, and one line for people about a frame."""

from __future__ import annotations

import ipaddress

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer, reason_label
from dpu_app.replay.parse import TCP, UDP, IfOurs, Segment, parse

PROTOCOLS = {TCP: "tcp", UDP: "udp"}
FLAGS = "FSRPAU"


class Names:
    """Services and listener groups of one plan by id."""

    def __init__(self, packet: PlanPacket) -> None:
        self.services = {service.id: service.name for service in packet.services}
        self.groups = {group.id: group.name for steer in packet.tables.steer for group in steer.groups}
        self.paths = {
            group.id: f"{self.service(steer.service)}/{group.name}"
            for steer in packet.tables.steer
            for group in steer.groups
        }

    def service(self, number: int) -> str:
        """Empty for none; the number where the plan has no name for it."""
        return self.services.get(number, str(number)) if number else ""

    def group(self, number: int) -> str:
        """Empty for none; the number where the plan has no name for it."""
        return self.groups.get(number, str(number)) if number else ""

    def group_path(self, number: int) -> str:
        """`chat/canary`: names of groups are unique in their service only. Empty for none."""
        return self.paths.get(number, str(number)) if number else ""

    def row(self, answer: Answer | None) -> dict[str, object]:
        """An answer for programs."""
        if answer is None:
            return {"verdict": "not asked"}
        return {
            "verdict": "pass" if answer.passed else "drop",
            "reason": reason_label(answer.reason),
            "service": self.service(answer.service),
            "group": self.group(answer.group),
            "port": answer.port,
            "frame": answer.frame.hex(),
        }

    def text(self, answer: Answer | None) -> str:
        """An answer for people: `pass none web/main :8443`."""
        if answer is None:
            return "not asked"
        way = self.service(answer.service) + (f"/{self.group(answer.group)}" if answer.group else "")
        words = ["pass" if answer.passed else "drop", reason_label(answer.reason), way]
        if answer.port:
            words.append(f":{answer.port}")
        return " ".join(word for word in words if word)


def described(frame: bytes) -> str:
    """`198.51.100.1:40000 > 192.0.2.10:443 tcp A 60`; less where the frame says less."""
    parsed = parse(frame)
    if isinstance(parsed, Segment):
        source, destination = (ipaddress.ip_address(raw) for raw in (parsed.source, parsed.destination))
        flags = "".join(name for bit, name in enumerate(FLAGS) if parsed.tcp_flags >> bit & 1)
        ends = f"{source} port {parsed.source_port} > {destination} port {parsed.destination_port}"
        return " ".join(filter(None, (ends, PROTOCOLS[parsed.protocol], flags, f"{len(frame)} bytes")))
    if isinstance(parsed, IfOurs):
        return f"to {ipaddress.ip_address(parsed.destination)}, {parsed.reason.name.lower()}, {len(frame)} bytes"
    return f"{frame[:14].hex(' ', 2)}, {len(frame)} bytes"
