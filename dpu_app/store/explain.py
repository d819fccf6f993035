"""pydantic's errors in our words: what is wrong and what to do, never the value itself where it may be a secret."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from dpu_app.model.desired import Desired
from dpu_app.model.problem import Finding, Location

# Patterns of `model/part.py` in words; the loc's last field name chooses.
NAME_RULE = "lower-case letters, digits, '.', '_' and '-', at most 63, starting and ending with a letter or digit"
PATTERN_RULES: dict[str, str] = {
    "name": NAME_RULE,
    "server_names": "a DNS name in lower case, such as api.example.com or *.example.com",
}
MODEL_NAME_RULE = "letters, digits, '.', '_', ':', '/' and '-', at most 128, starting with a letter or digit"
PLAIN_TYPES: dict[str, tuple[str, str]] = {
    "string_type": ("has to be text", "put it in quotes"),
    "int_type": ("has to be a whole number", "write digits only, without quotes"),
    "int_from_float": ("has to be a whole number", "write digits only"),
    "bool_type": ("has to be true or false", "write true or false"),
    "tuple_type": ("has to be a list", "write each item on its own line after '- '"),
    "dict_type": ("has to be a mapping", "write 'key: value' lines"),
    "model_type": ("has to be a mapping", "write 'key: value' lines"),
}


def finding(error: Mapping[str, Any]) -> Finding:
    """One error of `ValidationError.errors()` as a finding."""
    loc = tuple(step for step in error["loc"] if step != "[key]")
    kind: str = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown(loc)
    if kind == "missing":
        return Finding(loc, f"'{loc[-1]}' is missing", f"add '{loc[-1]}'")
    if kind in PLAIN_TYPES:
        return Finding(loc, *PLAIN_TYPES[kind])
    if kind == "refused":
        return Finding(loc, context["what"], context["fix"])
    if kind == "string_pattern_mismatch":
        return Finding(loc, "the text has characters that do not belong here", f"use {rule(loc)}")
    return outside(loc, kind, context) or Finding(loc, lower_first(error["msg"]), "correct the value")


def outside(loc: Location, kind: str, context: Mapping[str, Any]) -> Finding | None:
    """A value outside its limits."""
    low, high = context.get("ge", context.get("min_length")), context.get("le", context.get("max_length"))
    if kind == "greater_than_equal":
        return Finding(loc, "is too small", f"write {low} or more")
    if kind == "less_than_equal":
        return Finding(loc, "is too large", f"write {high} or less")
    if kind in ("too_short", "string_too_short"):
        return Finding(loc, "is too short", f"give it {low} or more")
    if kind in ("too_long", "string_too_long"):
        return Finding(loc, "is too long", f"give it {high} or fewer")
    if kind == "literal_error":
        return Finding(loc, "has a value that is not known here", f"write {context['expected']}")
    return None


def lower_first(text: str) -> str:
    """Our messages start in lower case."""
    return text[:1].lower() + text[1:]


def rule(loc: Location) -> str:
    """What the text may be, in words."""
    fields = [step for step in loc if isinstance(step, str)]
    if fields[-1] == "name" and fields[0] == "models" and "arms" not in fields:
        return MODEL_NAME_RULE
    if fields[-1] in ("models", "aliases", "engine_model"):
        return MODEL_NAME_RULE
    return PATTERN_RULES.get(fields[-1], "letters, digits, '.', '_', '/' and '-', at most 63")


def unknown(loc: Location) -> Finding:
    """An unknown field, with the nearest known one."""
    known = fields_at(loc[:-1])
    near = meant(loc)
    fix = f"did you mean '{near}'?" if near else f"known here: {', '.join(known)}"
    return Finding(loc, f"unknown field '{loc[-1]}'", fix)


def meant(loc: Location) -> str | None:
    """The known field that an unknown one probably stands for."""
    near = difflib.get_close_matches(str(loc[-1]), fields_at(loc[:-1]), n=1)
    return near[0] if near else None


def fields_at(loc: Location) -> list[str]:
    """Names of the fields that the part at `loc` has."""
    part: type[BaseModel] | None = Desired
    for step in loc:
        if part is None:
            return []
        if isinstance(step, str):
            by_alias = {info.alias or name: info.annotation for name, info in part.model_fields.items()}
            part = part_in(by_alias.get(step))
    return [info.alias or name for name, info in part.model_fields.items()] if part else []


def part_in(annotation: Any) -> type[BaseModel] | None:
    """The part inside tuples, options and annotations."""
    # tuple[Arm, ...] is a type to isinstance() too, and issubclass() would raise for it.
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    for inner in typing.get_args(annotation):
        if (found := part_in(inner)) is not None:
            return found
    return None
