"""Message classes out of generated modules that do not import any more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from dpu_app.p4rt import stubs
from dpu_app.p4rt.stubs import v1


def test_messages_carry_their_fields_over_the_wire() -> None:
    entry = v1.TableEntry(table_id=7, priority=3)
    entry.match.add(field_id=1).ternary.mask = b"\xff"
    assert v1.TableEntry.FromString(entry.SerializeToString()) == entry


def test_enums_and_nested_messages_are_attributes() -> None:
    assert (v1.WriteRequest.CONTINUE_ON_ERROR, v1.Update.DELETE) == (0, 3)
    assert stubs.config.MatchField.MatchType.Value("TERNARY") == 4
    assert v1.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT == 3


def test_service_has_the_methods_of_the_specification() -> None:
    assert set(stubs.methods()) == {
        *("Write", "Read", "SetForwardingPipelineConfig", "GetForwardingPipelineConfig"),
        *("StreamChannel", "Capabilities"),
    }


def test_module_that_is_not_there_is_named() -> None:
    with pytest.raises(stubs.StubsError, match=r"p4.v1.p4nothing_pb2 is not installed"):
        stubs.descriptor_of("p4/v1/p4nothing")


def test_stub_reaches_a_servicer() -> None:
    class Servicer:
        def __getattr__(self, name: str) -> object:
            return lambda request, context: v1.CapabilitiesResponse(p4runtime_api_version="x")

    server = grpc.server(ThreadPoolExecutor(1))
    stubs.add_servicer(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            reply = stubs.P4RuntimeStub(channel).Capabilities(v1.CapabilitiesRequest(), timeout=5)
    finally:
        server.stop(None).wait()
    assert reply.p4runtime_api_version == "x"
