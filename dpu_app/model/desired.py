"""The desired state: one file, everything that the product is told (design section 6.4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dpu_app.model.credentials import Identity
from dpu_app.model.limits import GlobalLimits
from dpu_app.model.listeners import Listeners
from dpu_app.model.models import Models
from dpu_app.model.packet import Packet
from dpu_app.model.part import FilePath, Part
from dpu_app.model.steering import Queue, Steering
from dpu_app.model.telemetry import Telemetry
from dpu_app.model.tenants import Tenants
from dpu_app.model.workers import Workers


class Desired(Part):
    """What should be. `cross.findings` says whether the parts fit together; nothing else has to be checked again."""

    api_version: Literal["dpu/v1"] = Field(alias="apiVersion")
    """Version of this format."""
    listeners: Listeners
    """Where clients connect."""
    tenants: Tenants
    """Who may ask."""
    models: Models
    """What they may ask for."""
    workers: Workers
    """Who answers."""
    worker_key_file: FilePath
    """32 bytes or more that fast path and workers share; each proves to the other that it holds them."""
    steering: Steering = Steering()
    """How workers are chosen; everything has a default."""
    queue: Queue = Queue()
    """Who waits while all workers are busy; everything has a default."""
    identity: Identity = Identity()
    """How credentials are checked."""
    limits: GlobalLimits = GlobalLimits()
    """What all tenants together may use; no limit when left out."""
    worker_key_previous_file: FilePath | None = None
    """A second key that the fast path accepts from workers while keys are rolled over: the one before, or the next."""
    packet: Packet | None = None
    """What happens to frames before TLS; without it the packet stage is not programmed."""
    telemetry: Telemetry = Telemetry()
    """What is written down."""
