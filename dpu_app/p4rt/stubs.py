"""P4Runtime's message types and stubs, built from the descriptors inside the `p4runtime` package.

The package's generated modules were made by a protoc of 2020: importing one under protobuf 4 or newer ends with
"Descriptors cannot be created directly". What they carry is right, though: each holds its FileDescriptorProto as one
bytes literal. So the modules are found and parsed, never run; the descriptors go into protobuf's own pool, and the
message classes are made from there. It works the same with modules of a newer protoc, whose literal stands in another
call. Nothing is copied into this repository, and pip decides which version of P4Runtime it is.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pool, message, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import code_pb2, status_pb2

# In the order in which they import each other. google/protobuf/any and google/rpc/status are in the pool by the imports
# above.
FILES = ("p4/config/v1/p4types", "p4/config/v1/p4info", "p4/v1/p4data", "p4/v1/p4runtime")
SERVICE = "p4.v1.P4Runtime"

Message = Any
"""A message of a class that is built at run time; mypy cannot know its fields."""


class StubsError(ImportError):
    """The package `p4runtime` is not what this file expects."""


def descriptor_of(file: str) -> FileDescriptorProto:
    """The descriptor inside the generated module of `file`, which is not run. Raises StubsError."""
    module = file.replace("/", ".") + "_pb2"
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise StubsError(f"{module} is not installed: pip install p4runtime")
    for literal in bytes_literals(Path(spec.origin).read_text()):
        try:
            found = FileDescriptorProto.FromString(literal)
        except message.DecodeError:
            continue
        if found.name == f"{file}.proto":
            return found
    raise StubsError(f"{spec.origin} holds no descriptor of {file}.proto: another version of p4runtime is needed")


def bytes_literals(source: str) -> Iterator[bytes]:
    """Every bytes literal of a Python source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            yield node.value


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """Protobuf's own pool with P4Runtime's files in it."""
    default = descriptor_pool.Default()
    for file in FILES:
        default.AddSerializedFile(descriptor_of(file).SerializeToString())
    return default


def messages(file: str) -> SimpleNamespace:
    """The message classes of a file by their names; nested classes and enum values are attributes of them."""
    by_name: dict[str, Descriptor] = dict(pool().FindFileByName(f"{file}.proto").message_types_by_name)
    return SimpleNamespace(**{name: message_factory.GetMessageClass(found) for name, found in by_name.items()})


v1: Any = messages("p4/v1/p4runtime")
"""`p4.v1`: WriteRequest, TableEntry, ..."""
config: Any = messages("p4/config/v1/p4info")
"""`p4.config.v1`: P4Info, ..."""
Status = status_pb2.Status
AnyMessage = any_pb2.Any
code = code_pb2


def methods() -> dict[str, MethodDescriptor]:
    """The service's methods by name."""
    return dict(pool().FindServiceByName(SERVICE).methods_by_name)


class P4RuntimeStub:
    """The client's side of the service over a channel; one attribute a method."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.Write = self._call(channel.unary_unary, "Write")
        self.Read = self._call(channel.unary_stream, "Read")
        self.SetForwardingPipelineConfig = self._call(channel.unary_unary, "SetForwardingPipelineConfig")
        self.GetForwardingPipelineConfig = self._call(channel.unary_unary, "GetForwardingPipelineConfig")
        self.StreamChannel = self._call(channel.stream_stream, "StreamChannel")
        self.Capabilities = self._call(channel.unary_unary, "Capabilities")

    def _call(self, kind: Callable[..., Any], name: str) -> Any:
        """A callable of the channel for one method."""
        method = methods()[name]
        reply: Any = message_factory.GetMessageClass(method.output_type)
        request: Any = message_factory.GetMessageClass(method.input_type)
        return kind(
            f"/{SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=reply.FromString
        )


HANDLERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def add_servicer(servicer: object, server: grpc.Server) -> None:
    """Serves `servicer`, which has a method of the same name for each of the service's."""
    handlers = {}
    for name, method in methods().items():
        reply: Any = message_factory.GetMessageClass(method.output_type)
        request: Any = message_factory.GetMessageClass(method.input_type)
        kind = HANDLERS[method.client_streaming, method.server_streaming]
        handlers[name] = kind(
            getattr(servicer, name),
            request_deserializer=request.FromString,
            response_serializer=reply.SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
