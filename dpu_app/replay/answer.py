"""What a target says about one frame."""

from __future__ import annotations

from typing import NamedTuple

from abi.gen.reasons import Reason

PASS_REASON_MAX = 9
"""Reasons up to here pass the frame; all others drop it (abi/tables/reasons.toml)."""


class Answer(NamedTuple):
    """One frame's verdict. Two targets agree where their answers are equal."""

    passed: bool
    reason: int
    """A number of abi/tables/reasons.toml; 0 is a frame that went the whole way to a listener group."""
    service: int = 0
    """Service id, 0 where no VIP was found."""
    group: int = 0
    """Listener group id, 0 where nothing was steered."""
    port: int = 0
    """Destination port after the rewrite, 0 where nothing was steered."""
    frame: bytes = b""
    """The frame as it goes on; empty where it is dropped."""


def answer(reason: int, frame: bytes, service: int = 0, group: int = 0, port: int = 0) -> Answer:
    """An answer with the verdict that its reason has."""
    passed = reason <= PASS_REASON_MAX
    return Answer(passed, int(reason), service, group, port, frame if passed else b"")


def reason_label(number: int) -> str:
    """`acl_denied`; the number itself where this version has no name for it."""
    try:
        return Reason(number).name.lower()
    except ValueError:
        return str(number)


def alike(answers: list[Answer | None], blind: set[str]) -> bool:
    """Whether all who were asked say the same, but for fields that one of them cannot see."""
    seen = [place for place, name in enumerate(Answer._fields) if name not in blind]
    return len({tuple(answer[place] for place in seen) for answer in answers if answer is not None}) <= 1
