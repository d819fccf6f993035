"""Meter configurations as rates of plain integers, to and from P4Runtime's messages."""

from __future__ import annotations

from typing import NamedTuple

from dpu_app.model.plan_packet import PlanBucket
from dpu_app.p4rt.codec import EntityError, invalid
from dpu_app.p4rt.schema import Array, Schema
from dpu_app.p4rt.stubs import Message, code, v1

INT64_MAX = (1 << 63) - 1


class Rate(NamedTuple):
    """A two-rate meter, in packets or bytes: a second, and at once."""

    cir: int
    cburst: int
    pir: int
    pburst: int


def rate_of(bucket: PlanBucket) -> Rate:
    """A token bucket: both rates are the same, so that nothing is ever yellow."""
    return Rate(bucket.per_s, bucket.burst, bucket.per_s, bucket.burst)


def bucket_of(rate: Rate) -> PlanBucket:
    """The token bucket that drops what is not green."""
    return PlanBucket(rate.cir, rate.cburst)


def encode_cell(meter: Array, index: int, rate: Rate | None) -> Message:
    """The MeterEntry of a cell; without a rate everything passes."""
    entry = v1.MeterEntry(meter_id=meter.id)
    entry.index.index = index
    if rate is not None:
        entry.config.CopyFrom(v1.MeterConfig(**rate._asdict()))
    return entry


def meter_of(schema: Schema, meter_id: int) -> Array:
    """The meter of an id. Raises EntityError."""
    found = schema.meters.get(meter_id)
    if found is None:
        raise invalid(f"no meter has the id {meter_id:#010x}: see the P4Info")
    return found


def decode_range(array: Array, entry: Message) -> range:
    """The cells that a MeterEntry or CounterEntry is about; all of them where it names none. Raises EntityError."""
    if not entry.HasField("index"):
        return range(array.size)
    index: int = entry.index.index
    if index < 0:
        raise invalid(f"{array.name}: index {index} is negative")
    if index >= array.size:
        raise EntityError(code.OUT_OF_RANGE, f"{array.name}: index {index} is beyond its {array.size} cells")
    return range(index, index + 1)


def decode_rate(array: Array, entry: Message) -> Rate | None:
    """The rate of a MeterEntry, None for none. Raises EntityError."""
    if not entry.HasField("config"):
        return None
    config = entry.config
    rate = Rate(config.cir, config.cburst, config.pir, config.pburst)
    if min(rate) < 0 or config.eburst < 0:
        raise invalid(f"{array.name}: rates and bursts are not negative")
    if rate.pir < rate.cir:
        raise invalid(f"{array.name}: pir {rate.pir} is below cir {rate.cir}")
    if config.eburst:
        raise EntityError(code.UNIMPLEMENTED, f"{array.name}: eburst is not supported; leave it out")
    return rate
