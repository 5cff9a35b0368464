"""A streaming service in a few lines, for examples: its messages are dicts."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from ..requests import build_request
from ..schema import DescriptorSet, Method
from .reflection import ReflectionHandler

__all__ = ["Handler", "serve"]

#: Request → the fields of each response.
Handler: TypeAlias = Callable[[Any], Iterable[Mapping[str, Any]]]

_CALLS_AT_ONCE = 256


def serve(descriptor_set: Path, handlers: Mapping[str, Handler]) -> None:
    """Serve methods, and server reflection, until SIGTERM or Ctrl-C.

    It takes ``--host`` and ``--port`` from the command line, and prints ``listening on HOST:PORT``.

    Arguments:
        descriptor_set: where the types are.
        handlers: by method, ``package.Service/Method``; its response is a stream. A handler is
            left alone when the call ends: it ends with the process.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=50051, help="0 takes a free one")
    options = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before gRPC starts its threads, so that they inherit the mask and sigwait gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = grpc.server(ThreadPoolExecutor(_CALLS_AT_ONCE), options=[("grpc.so_reuseport", 0)])
    schema = DescriptorSet(descriptor_set)
    files = FileDescriptorSet.FromString(descriptor_set.read_bytes())
    server.add_generic_rpc_handlers(
        [
            *(_service(schema.method(name), handler) for name, handler in handlers.items()),
            ReflectionHandler(files),
        ]
    )
    port = server.add_insecure_port(f"{options.host}:{options.port}")
    server.start()
    print(f"listening on {options.host}:{port}", flush=True)
    signal.sigwait(ends)
    server.stop(grace=None)


def _service(method: Method, handler: Handler) -> Any:
    def respond(request: Message, context: grpc.ServicerContext) -> Iterator[bytes]:
        # Before the first message, which may be long in coming: the call was accepted.
        context.send_initial_metadata(())
        for fields in handler(request):
            message = build_request(method.response_class, fields, option="response")
            yield message.SerializeToString()

    service, _, name = method.full_name.rpartition("/")
    handlers = {
        name: grpc.unary_stream_rpc_method_handler(respond, method.request_class.FromString)
    }
    return grpc.method_handlers_generic_handler(service, handlers)
