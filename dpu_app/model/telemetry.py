"""Telemetry: what is written down about requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dpu_app.model.part import Part


class Journal(Part):
    """The journal of requests: one JSON line each."""

    prompt_text: Literal[False] = False
    """Prompt text is never written; saying so here documents it."""


class Telemetry(Part):
    """What is written down about requests."""

    journal: Journal = Journal()
    """One JSON line per request."""
    series_max: Annotated[int, Field(ge=16, le=100_000)] = 1_024
    """Label sets that each core of the fast path keeps of `dpu_requests_total` and of the `gen_ai` metrics; what is
    beyond is counted under the label `_other` and in `dpu_series_capped_total`. Each costs about 1 KiB, and 1.5 ms of
    processor time in a scrape."""
