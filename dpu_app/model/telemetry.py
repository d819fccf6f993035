"""Telemetry: what is written down about requests."""

from __future__ import annotations

from typing import Literal

from dpu_app.model.part import Part


class Journal(Part):
    """The journal of requests: one JSON line each."""

    prompt_text: Literal[False] = False
    """Prompt text is never written; saying so here documents it."""


class Telemetry(Part):
    """What is written down about requests."""

    journal: Journal = Journal()
    """One JSON line per request."""
