"""What the demo puts on the screen after the answer: the decision record, the counters."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from deploy.local.processes import StackError

JOURNAL_TIMEOUT_S = 5.0
RECORD_ROWS = (
    ("request", "request_id"),
    ("tenant", "tenant"),
    ("model asked, model", "model_asked", "model"),
    ("arm, bucket", "arm", "bucket"),
    ("worker, transport", "worker", "transport"),
    ("plan epoch", "epoch"),
    ("outcome", "status", "outcome", "reason"),
    ("prompt tokens (cached)", "prompt_tokens", "cached_tokens"),
    ("completion tokens", "completion_tokens"),
    ("time to first token", "ttft_ms"),
    ("duration", "duration_ms"),
    ("receipt SHA-256", "receipt_sha256"),
)
COUNTERS = ("dpu_requests", "dpu_refusals", "dpu_tokens", "dpu_worker_frames", "dpu_connections", "dpu_tls")
"""Prefixes of the families that tell the story of one request."""
COUNTER_ROWS_MAX = 24


def find_record(journal: Path, request_id: str) -> dict[str, Any]:
    """The journal's line of a request; it is written moments after the answer. Raises StackError."""
    until = time.monotonic() + JOURNAL_TIMEOUT_S
    while time.monotonic() < until:
        for line in journal.read_text().splitlines() if journal.exists() else ():
            record: dict[str, Any] = json.loads(line)
            if record["request_id"] == request_id:
                return record
        time.sleep(0.05)
    raise StackError(f"{journal} has no line for request {request_id}")


def show_record(console: Console, record: dict[str, Any]) -> None:
    """Who asked, what was decided, what it cost, what was normalised."""
    console.print("The decision record", style="bold")
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for label, *names in RECORD_ROWS:
        unit = " ms" if names[0].endswith("_ms") else ""
        table.add_row(label, ", ".join(text_of(record.get(name)) for name in names) + unit)
    edits = record.get("edits") or []
    table.add_row("normalised", ", ".join(f"{edit['field']}: {edit['what']}" for edit in edits) or "nothing")
    console.print(table)


def show_counters(console: Console, url: str) -> None:
    """The fast path's own counters that are not zero."""
    console.print("The fast path's counters", style="bold")
    samples = [sample for sample in counters(url) if sample[1]]
    for name, value in samples[:COUNTER_ROWS_MAX]:
        console.print(f"{value:>8g}  {name}", markup=False, soft_wrap=True)
    if len(samples) > COUNTER_ROWS_MAX:
        console.print(f"     ...  {len(samples) - COUNTER_ROWS_MAX} more at {url}", markup=False)


def counters(url: str, names: tuple[str, ...] = COUNTERS) -> list[tuple[str, float]]:
    """Name with labels, value, of the families that begin so."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    found = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.type == "counter" and family.name.startswith(names) else ():
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            if sample.name.endswith("_total"):
                found.append((sample.name + (f"{{{labels}}}" if labels else ""), sample.value))
    return found


def text_of(value: Any) -> str:
    """A field for people: times in tenths, nothing as a dash."""
    if value is None or value == "":
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
