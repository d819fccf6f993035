"""Which pipeline a device has, and giving it ours where that is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from dpu_app.p4rt.errors import Refused
from dpu_app.p4rt.schema import Schema, from_message
from dpu_app.p4rt.stubs import Message, code, v1

if TYPE_CHECKING:
    from dpu_app.p4rt.client import Client

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")


def ensure(client: Client) -> None:
    """The device has our pipeline when this returns: it had it (same cookie), or it was pushed. Raises ClientError."""
    has = ask(client, v1.GetForwardingPipelineConfigRequest.COOKIE_ONLY)
    wanted = client.schema.cookie(client.device_config or b"")
    if has is not None and has.cookie.cookie == wanted:
        return
    if client.device_config is None:
        check_built_in(client, has)
    else:
        push(client, wanted)


def ask(client: Client, kind: int) -> Message | None:
    """What the device says of its pipeline; None where it has none. Raises ClientError."""
    request = v1.GetForwardingPipelineConfigRequest(device_id=client.options.device_id, response_type=kind)
    timeout_s = client.options.call_timeout_s
    try:
        reply = client.call(client.stub.GetForwardingPipelineConfig, request, "which pipeline it has", timeout_s)
    except Refused as error:
        if error.status == code.FAILED_PRECONDITION:
            return None
        raise
    return reply.config if reply.HasField("config") else None


def check_built_in(client: Client, has: Message | None) -> None:
    """Without a device config there is nothing to push: the device's own has to be like ours. Raises Refused."""
    address = client.options.address
    if has is not None:
        has = ask(client, v1.GetForwardingPipelineConfigRequest.P4INFO_AND_COOKIE)
    if has is None or not has.HasField("p4info"):
        what = f"{address} has no pipeline: give the device config that the P4 compiler made for it"
        raise Refused(code.FAILED_PRECONDITION, what)
    lacks = missing(client.schema, from_message(has.p4info))
    if lacks:
        what = f"{address} has another pipeline, without our {', '.join(lacks[:8])}: give the device config to push"
        raise Refused(code.FAILED_PRECONDITION, what)


def missing(ours: Schema, theirs: Schema) -> list[str]:
    """The tables, actions, meters and counters of ours that are not the same there; sizes do not count."""
    lacks = [
        f"table {table.name}"
        for number, table in ours.tables.items()
        if number not in theirs.tables or theirs.tables[number].fields != table.fields
    ]
    lacks += [f"action {a.name}" for number, a in ours.actions.items() if theirs.actions.get(number) != a]
    lacks += [f"meter {m.name}" for number, m in ours.meters.items() if number not in theirs.meters]
    return lacks + [f"counter {c.name}" for number, c in ours.counters.items() if number not in theirs.counters]


def push(client: Client, cookie: int) -> None:
    """Gives the device our pipeline. Raises ClientError."""
    options = client.options
    if options.pipeline == "never":
        what = f"{options.address} has another pipeline and we may not push ours (pipeline 'never')"
        raise Refused(code.FAILED_PRECONDITION, what)
    actions = v1.SetForwardingPipelineConfigRequest
    action = actions.VERIFY_AND_COMMIT if options.pipeline == "commit" else actions.RECONCILE_AND_COMMIT
    request = actions(device_id=options.device_id, action=action)
    client.sign(request)
    request.config.p4info.CopyFrom(client.schema.p4info)
    request.config.p4_device_config = client.device_config or b""
    request.config.cookie.cookie = cookie
    client.call(client.stub.SetForwardingPipelineConfig, request, "our pipeline", options.pipeline_timeout_s)
    log.info("pipeline pushed", address=options.address, action=options.pipeline, cookie=f"{cookie:#x}")
