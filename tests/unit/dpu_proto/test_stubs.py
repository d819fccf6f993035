"""The checked-in stubs are those of the .proto files beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from dpu_proto.fastpath.v1 import fastpath_pb2, fastpath_pb2_grpc
from tests.unit.dpu_app.samples import ROOT

PROTO = "dpu_proto/fastpath/v1/fastpath.proto"


def test_stub_is_what_the_proto_file_says(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    out = tmp_path / "set.bin"
    assert protoc.main(["protoc", f"-I{ROOT}", f"--descriptor_set_out={out}", f"{ROOT}/{PROTO}"]) == 0
    written = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
    stub = descriptor_pb2.FileDescriptorProto()
    fastpath_pb2.DESCRIPTOR.CopyToProto(stub)
    # protoc's own set has json names filled in; the stub leaves them to be derived.
    for message in written.message_type:
        clear_json_names(message)
    for message in stub.message_type:
        clear_json_names(message)
    assert stub == written


def clear_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        clear_json_names(nested)


def test_client_and_server_know_every_method() -> None:
    methods = [method.name for method in fastpath_pb2.DESCRIPTOR.services_by_name["FastPath"].methods]
    assert methods == ["Apply", "Status", "Drain"]
    assert all(hasattr(fastpath_pb2_grpc.FastPathServicer, method) for method in methods)
