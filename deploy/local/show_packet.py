"""What the demo shows of the packet stage: frames by the reason of their verdict, and the record of its own flow."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.namespaces import DENIED_IPV4, DENIED_IPV6
from deploy.local.show import counters, text_of
from deploy.local.stack import Stack

DENIED_S = 0.5
RECORD_TIMEOUT_S = 15.0
"""A record leaves 5 s after its flow has ended, which is a second after its last frame."""
RECORD_ROWS = (
    ("client, server", "client", "client_port", "server", "server_port"),
    ("service, group, its port", "service", "group", "group_port"),
    ("verdict, reason, end", "verdict", "reason", "end"),
    ("packets in, out", "packets_in", "packets_out"),
    ("bytes in, out", "bytes_in", "bytes_out"),
    ("tenant, model, arm, worker", "tenant", "model", "arm", "worker"),
    ("requests, tokens in, out", "requests", "tokens_in", "tokens_out"),
    ("time to first token, ms", "ttft_ms"),
    ("outcome, epoch", "outcome", "epoch"),
)


def try_denied(console: Console, stack: Stack) -> None:
    """A connection from a source that the ACL denies: nobody answers."""
    is_ipv6 = ":" in stack.effective.host
    source = DENIED_IPV6 if is_ipv6 else DENIED_IPV4
    with stack.place.inside("client"), socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET) as caller:
        caller.settimeout(DENIED_S)
        caller.bind((source, 0))
        answered = caller.connect_ex((stack.effective.host, stack.effective.port)) == 0
    what = "was answered" if answered else f"no answer in {DENIED_S:g} s"
    console.print(f"A connection from {source}, which the ACL denies: {what}\n", markup=False)


def show_packet(console: Console, stack: Stack) -> None:
    """Counters of the packet stage, then the flow that the answer came through, packets and request in one record."""
    with stack.place.inside("agent"):
        samples = counters(stack.agent.health + "/metrics", ("dpu_packets",))
    console.print(f"The packet stage on {stack.place.uplink}: frames in, by reason", style="bold")
    for name, value in samples:
        if value:
            console.print(f"{value:>8g}  {name}", markup=False)
    record = find_flow(stack.flows)
    console.print()
    if record is None:
        console.print(f"no flow record within {RECORD_TIMEOUT_S:.0f} s; see {stack.agent.log}", markup=False)
        return
    console.print("The flow record (dpu-agent flows)", style="bold")
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, *names in RECORD_ROWS:
        table.add_row(label, ", ".join(text_of(record.get(name)) for name in names))
    console.print(table)


def find_flow(path: Path) -> dict[str, Any] | None:
    """The first record of a flow that carried a request."""
    until = time.monotonic() + RECORD_TIMEOUT_S
    while time.monotonic() < until:
        for line in path.read_text().splitlines() if path.exists() else ():
            record: dict[str, Any] = json.loads(line)
            if record["requests"] and record["packets_in"]:
                return record
        time.sleep(0.1)
    return None
