"""Telemetry: what is written down about requests and flows."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from dpu_app.model.part import Address, Duration, FilePath, Part

DOCUMENTATION_PEN = 32473
"""Private enterprise number of examples (RFC 5612)."""


class Journal(Part):
    """The journal of requests: one JSON line each."""

    prompt_text: Literal[False] = False
    """Prompt text is never written; saying so here documents it."""


class Ipfix(Part):
    """Flow records as IPFIX (RFC 7011) over UDP."""

    collector: Address
    """Where they are sent."""
    template_refresh: Duration = timedelta(minutes=1)
    """How often the templates are sent again: a collector that was restarted understands nothing before that."""
    observation_domain: Annotated[int, Field(ge=0, le=4_294_967_295)] = 1
    """Tells exporters behind one address apart."""
    enterprise_number: Annotated[int, Field(ge=1, le=4_294_967_295)] = DOCUMENTATION_PEN
    """IANA private enterprise number under which our own elements go out. The default is the one for documentation:
    take your organisation's where records leave it."""


class FlowExport(Part):
    """Flow records: what the packet stage saw, joined with what the request path did."""

    ipfix: Ipfix | None = None
    """To a collector; not sent when left out."""
    json_file: FilePath | None = None
    """One JSON line a record, appended; not written when left out. SIGHUP opens it again."""
    active_timeout: Duration = timedelta(minutes=1)
    """A flow that goes on has a record this often, of what is new since the last."""
    entries_max: Annotated[int, Field(ge=16, le=4_194_304)] = 65_536
    """Flows and connections whose other half is waited for; beyond that the oldest is written as it is, and counted.
    Each costs up to 1.5 KiB."""
    series_max: Annotated[int, Field(ge=16, le=100_000)] = 1_024
    """Label sets of each of the `dpu_flow_*` metrics; what is beyond is counted under `_other`, and as capped."""


class Telemetry(Part):
    """What is written down about requests and flows."""

    journal: Journal = Journal()
    """One JSON line per request."""
    series_max: Annotated[int, Field(ge=16, le=100_000)] = 1_024
    """Label sets that each core of the fast path keeps of `dpu_requests_total` and of the `gen_ai` metrics; what is
    beyond is counted under the label `_other` and in `dpu_series_capped_total`. Each costs about 1 KiB, and 1.5 ms of
    processor time in a scrape."""
    flows: FlowExport = FlowExport()
    """Flow records; everything has a default. The agent's own: no target is told, and no plan changes."""
