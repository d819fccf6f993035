"""The native status as the reply of the service and as readiness. Pure."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format

from dpu_app.telemetry.health import Readiness
from dpu_proto.fastpath.v1 import fastpath_pb2 as pb


def reply(status_json: str) -> pb.StatusReply:
    """Fields that the reply does not have (they are for people) are left out. Raises ValueError."""
    status: dict[str, Any] = json.loads(status_json)
    # Protobuf's JSON has bytes in base64, the native side gives hex.
    digest = bytes.fromhex(status.pop("plan_sha256", ""))
    try:
        parsed = json_format.ParseDict(status, pb.StatusReply(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(f"the native status is not a StatusReply: {error}") from error
    parsed.plan_sha256 = digest
    return parsed


def readiness(status_json: str, stopping: bool) -> Readiness:
    """Programmed, a ready worker for every model, not draining; else the reason."""
    status: dict[str, Any] = json.loads(status_json)
    workers = [{key: w.get(key) for key in ("name", "state", "transport", "detail")} for w in status.get("workers", [])]
    detail = {"epoch": status.get("epoch", 0), "listening": status.get("listening", []), "workers": workers}
    if stopping or status.get("draining", False):
        return Readiness(False, "draining", detail)
    if not status.get("ready", False):
        return Readiness(False, status.get("not_ready") or "not programmed, or a model has no ready worker", detail)
    return Readiness(True, "", detail)
