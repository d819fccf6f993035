"""What can go wrong between a P4Runtime client and its server, and what a server says of single entries."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError

from dpu_app.p4rt.stubs import Message, Status, code, v1

DETAILS_KEY = "grpc-status-details-bin"
DETAILS_ROOM_KEY = "dpu-details-bytes-max"
"""What our client says with a Write: how many bytes of details it takes."""


class ClientError(Exception):
    """The server did not do what it was asked."""


class Unavailable(ClientError):
    """It cannot be asked now, or did not answer in time: not known what it did. Trying again helps."""


class NotPrimary(Unavailable):
    """Another controller may write, we may not. Trying again helps once it is gone."""


class Refused(ClientError):
    """It refuses the whole call with this canonical code. Trying again does not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def status_of(error: object) -> grpc.StatusCode:
    """The code of an RpcError; gRPC's own ones are calls too, which its types do not say."""
    return (error.code() if isinstance(error, grpc.Call) else None) or grpc.StatusCode.UNKNOWN


def explain(error: object, what: str, address: str) -> ClientError:
    """The error of a call in words, and as what it means to us."""
    status = status_of(error)
    details = (error.details() if isinstance(error, grpc.Call) else None) or "no details"
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(f"{address} did not answer {what} in time")
    if status in PASSING:
        return Unavailable(f"nobody serves P4Runtime at {address}: {details}")
    if status is grpc.StatusCode.PERMISSION_DENIED:
        return NotPrimary(
            f"{address} refuses {what}: {details} (fix: a higher election id, or stop the other controller)"
        )
    return Refused(status.value[0], f"{address} refuses {what}: {status.name}: {details}")


def entry_errors(error: object, count: int) -> Sequence[Message] | None:
    """The p4.v1.Error of each of `count` updates; None where the status does not carry exactly these."""
    metadata = (error.trailing_metadata() if isinstance(error, grpc.Call) else None) or ()
    data = next((value for key, value in metadata if key == DETAILS_KEY), None)
    if not isinstance(data, bytes):
        return None
    found = []
    try:
        for detail in Status.FromString(data).details:
            item = v1.Error()
            if not detail.Unpack(item):
                return None
            found.append(item)
    except DecodeError:
        return None
    return found if len(found) == count else None


def code_name(status: int) -> str:
    """`ALREADY_EXISTS`."""
    names: dict[int, str] = {number: name for name, number in code.Code.items()}
    return names.get(status, f"code {status}")
