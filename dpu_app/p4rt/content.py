"""What a bank says, as a short hash that does not depend on which bank it is. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dpu_app.p4rt.codec import Entries
from dpu_app.p4rt.meters import Rate

CONTENT_BYTES = 16
"""Against accidents and careless hands; 2^128 is far beyond both."""
Rates = dict[str, dict[int, Rate]]
"""Meter -> cell -> its rate."""


def content_hash(entries: Entries, rates: Rates) -> bytes:
    """CONTENT_BYTES over the entries of one bank, without the bank, and the meters' cells that they use."""
    digest = hashlib.sha256()
    for line in sorted(repr((key.table, key.match[1:], key.priority, call)) for key, call in entries.items()):
        digest.update(line.encode() + b"\n")
    for meter in sorted(rates):
        for start, end, rate in runs(rates[meter]):
            digest.update(f"{meter} {start} {end} {tuple(rate)}\n".encode())
    return digest.digest()[:CONTENT_BYTES]


def settled(found: Rates, wanted: Rates, tolerance_ppm: int) -> Rates:
    """What was read, with `wanted` in the place of every rate that a device may have rounded from it."""
    return {
        meter: {cell: settle(rate, wanted.get(meter, {}).get(cell), tolerance_ppm) for cell, rate in cells.items()}
        for meter, cells in found.items()
    }


def settle(rate: Rate, wanted: Rate | None, tolerance_ppm: int) -> Rate:
    """One rate. Bursts are whole tokens and are not rounded; a rate is at least by one."""
    if wanted is None or rate == wanted or (rate.cburst, rate.pburst) != (wanted.cburst, wanted.pburst):
        return rate
    off = max(abs(rate.cir - wanted.cir), abs(rate.pir - wanted.pir))
    return wanted if off <= 1 + wanted.cir * tolerance_ppm // 1_000_000 else rate


def runs(cells: dict[int, Rate]) -> Iterator[tuple[int, int, Rate]]:
    """First cell, last cell, and rate of neighbours that are equal."""
    start = end = -1
    rate: Rate | None = None
    for cell in sorted(cells):
        if rate == cells[cell] and cell == end + 1:
            end = cell
            continue
        if rate is not None:
            yield start, end, rate
        start, end, rate = cell, cell, cells[cell]
    if rate is not None:
        yield start, end, rate
