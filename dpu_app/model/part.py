"""What every part of the desired state has in common, and the small types that the parts share."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError


class Part(BaseModel):
    """A part of the desired state: immutable, without unknown fields, without silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


T = TypeVar("T")
# YAML has lists, a frozen part has tuples: the one conversion that strict parts allow.
Items = Annotated[tuple[T, ...], Strict(False)]

DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
LABELS_MAX = 32


def refusal(what: str, fix: str) -> PydanticCustomError:
    """An error that brings its own fix; `store.explain` shows both."""
    return PydanticCustomError("refused", "{what}", {"what": what, "fix": fix})


def duration(value: object) -> timedelta:
    """`250ms`, `5s`, `1m` or `2h`. Raises a refusal."""
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise refusal("is not a duration above zero", "write a whole number with its unit: 250ms, 5s, 1m or 2h")
    return timedelta(milliseconds=int(match[1]) * DURATION_MS[match[2]])


def duration_ms(value: timedelta) -> int:
    """Whole milliseconds."""
    return value // timedelta(milliseconds=1)


def percent(value: object) -> Decimal:
    """0 to 100 in steps of 0.01. Raises a refusal."""
    try:
        # str() of a float is its shortest form, so 33.33 stays 33.33.
        number = Decimal(str(value)) if isinstance(value, int | float | Decimal) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or number.is_nan() or not 0 <= number <= 100 or number * 100 % 1 != 0:
        raise refusal("is not a share", "write a number from 0 to 100 in steps of 0.01")
    return number


def socket_address(text: str) -> str:
    """`127.0.0.1:8443` or `[::1]:8443` in its shortest form. Names are not resolved. Raises a refusal."""
    host, colon, port = text.rpartition(":")
    try:
        inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        address = ipaddress.ip_address(inner)
        known = bool(colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
    except ValueError:
        known = False
    if not known or (address.version == 6) != host.startswith("["):
        raise refusal("is not an address", "write IP:PORT, such as 127.0.0.1:8443 or [::1]:8443")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def shorter_than(count: int) -> Any:
    """A limit on the items of a list or mapping."""
    return Field(max_length=count)


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(lambda value: f"{duration_ms(value)}ms", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,9}(ms|s|m|h)$", "examples": ["250ms", "5s", "1m"]}),
]
Percent = Annotated[
    Decimal,
    BeforeValidator(percent),
    PlainSerializer(float, return_type=float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01}),
]
Address = Annotated[str, AfterValidator(socket_address), Field(examples=["127.0.0.1:8443", "[::1]:8443"])]
# A name of ours: a metric label and a log field too, hence short and plain.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$")]
# A name of a model: what clients and engines already use, such as meta-llama/Llama-3.1-8B-Instruct.
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
LabelText = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,62})$")]
Labels = Annotated[dict[LabelText, LabelText], shorter_than(LABELS_MAX)]
# Relative to the folder of the file that names it.
FilePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00\n]+$")]
