"""A real gRPC server whose every call follows a script: for tests of streaming clients."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from ..exceptions import ConfigurationError
from ..types import Metadata
from .processes import free_port, wait_until
from .reflection import ReflectionHandler

__all__ = ["End", "Fail", "ReceivedCall", "Replay", "Reset", "ScriptedServer", "Send", "Stall"]

Payload: TypeAlias = "bytes | Message"
"""A message to send: a protobuf message, or any bytes, well-formed or not."""


@dataclass(frozen=True, init=False)
class Send:
    """Send messages."""

    messages: tuple[Payload, ...]

    def __init__(self, *messages: Payload) -> None:
        object.__setattr__(self, "messages", messages)


@dataclass(frozen=True)
class Replay:
    """Send the part of a history that comes after the caller's cursor.

    Arguments:
        history: the messages in order; may grow between calls.
        after: reads the cursor from the first request: how many messages to pass over.
    """

    history: Sequence[Payload]
    after: Callable[[bytes], int]


@dataclass(frozen=True)
class Stall:
    """Keep the call open and silent until the caller or the server ends it.

    The test goes on by hand meanwhile: :meth:`ReceivedCall.send`, :meth:`ReceivedCall.proceed`.
    """


@dataclass(frozen=True)
class End:
    """End the call with OK (as does the end of the script)."""


@dataclass(frozen=True)
class Fail:
    """End the call with a status other than OK."""

    code: grpc.StatusCode
    details: str = ""
    trailing_metadata: Metadata = ()


@dataclass(frozen=True)
class Reset:
    """Break the call off (RST_STREAM), without a status from the server."""


Step: TypeAlias = "Send | Replay | Stall | End | Fail | Reset"

_Feed: TypeAlias = "queue.SimpleQueue[Payload | None]"


@dataclass
class ReceivedCall:
    """One call that the server received.

    Attributes:
        path: ``/package.Service/Method``.
        metadata: what the caller sent, values of ``-bin`` names as bytes.
        requests: serialized requests so far; grows on methods with a stream of requests.
        sent: messages sent so far.
        over: the call ended, whoever ended it.
    """

    path: str
    metadata: Metadata
    requests: list[bytes] = field(default_factory=list)
    sent: int = 0
    over: bool = False
    _feed: _Feed = field(default_factory=queue.SimpleQueue, repr=False)

    @property
    def request(self) -> bytes:
        """The first request."""
        return self.requests[0]

    def send(self, *messages: Payload) -> None:
        """Send more messages on a call that stalls."""
        for message in messages:
            self._feed.put(message)

    def proceed(self) -> None:
        """Let a call that stalls go on with the step after :class:`Stall`."""
        self._feed.put(None)


class ScriptedServer:
    """A gRPC server on 127.0.0.1 for any methods, known or made up. A context manager.

    It runs in threads of its own, so that tests with and without an event loop can use it.

    Arguments:
        files: descriptor set (or its bytes) to answer server reflection from; none by default.
        credentials: for TLS.
        options: of the gRPC server, for example ``("grpc.max_connection_age_ms", 500)``.
        calls_at_once: calls that can be open at the same time.
    """

    def __init__(
        self,
        *,
        files: FileDescriptorSet | bytes | None = None,
        credentials: grpc.ServerCredentials | None = None,
        options: Iterable[tuple[str, Any]] = (),
        calls_at_once: int = 64,
    ) -> None:
        self.port = free_port()
        #: Every call received, in order.
        self.calls: list[ReceivedCall] = []
        self._scripts: dict[str, list[tuple[Step, ...]]] = {}
        self._served: dict[str, int] = {}
        self._lock = threading.Lock()
        self._credentials = credentials
        self._options = [("grpc.so_reuseport", 0), *options]
        self._calls_at_once = calls_at_once
        self._files = FileDescriptorSet.FromString(files) if isinstance(files, bytes) else files
        self._server: grpc.Server | None = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def target(self) -> str:
        """Where clients reach it: ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    def script(self, method: str, *calls: Iterable[Step] | Step) -> None:
        """Say what happens on a method's calls, replacing what was said before.

        Arguments:
            method: ``package.Service/Method``.
            calls: the steps of the first call, of the second, …; later calls are like the last.

        Raises:
            ConfigurationError: no call is given.
        """
        if not calls:
            raise ConfigurationError(f"script({method!r}): give the steps of at least one call")
        steps = [tuple(call) if isinstance(call, Iterable) else (call,) for call in calls]
        with self._lock:
            path = f"/{method.lstrip('/')}"
            self._scripts[path] = steps
            self._served[path] = 0

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._threads = ThreadPoolExecutor(self._calls_at_once, "scripted-server")
        server = grpc.server(self._threads, [_Handlers(self)], options=self._options)
        if self._files is not None:
            server.add_generic_rpc_handlers([ReflectionHandler(self._files)])
        if self._credentials is None:
            server.add_insecure_port(self.target)
        else:
            server.add_secure_port(self.target, self._credentials)
        server.start()
        self._server = server

    def stop(self, grace: float | None = None) -> None:
        """Close the port and end all calls; :meth:`start` opens it again.

        Arguments:
            grace: seconds that calls may go on after the connections' GOAWAY; ``None`` breaks
                them off.
        """
        if self._server is None or self._threads is None:
            return
        self._server.stop(grace).wait()
        self._threads.shutdown()
        self._server = None

    def wait_for_calls(self, count: int, timeout: float = 10.0) -> ReceivedCall:
        """Wait until so many calls were received in all, and return the last of them.

        Raises:
            NotReady: not in time.
        """
        wait_until(lambda: len(self.calls) >= count, timeout, f"{count} calls")
        return self.calls[count - 1]

    def __enter__(self) -> ScriptedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _next_script(self, path: str) -> tuple[Step, ...] | None:
        with self._lock:
            if path not in self._scripts:
                return None
            number = self._served[path]
            self._served[path] += 1
            return self._scripts[path][min(number, len(self._scripts[path]) - 1)]


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """Serves each scripted method; a unary request looks like a stream of one on the wire."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        steps = self._server._next_script(path)
        if steps is None:
            return None
        metadata = tuple(handler_call_details.invocation_metadata)

        def serve(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            call = ReceivedCall(path, tuple((name, value) for name, value in metadata))
            yield from _serve(self._server.calls, call, steps, requests, context)

        return grpc.stream_stream_rpc_method_handler(serve)


def _serve(
    calls: list[ReceivedCall],
    call: ReceivedCall,
    steps: tuple[Step, ...],
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
) -> Iterator[bytes]:
    def over() -> None:
        call.over = True
        call.proceed()

    if not context.add_callback(over):
        return
    try:
        call.requests.append(next(requests))
    except (StopIteration, grpc.RpcError):
        return
    threading.Thread(target=_record, args=(call, requests), daemon=True).start()
    calls.append(call)
    context.send_initial_metadata(())
    for message in _messages(call, steps, context):
        yield message if isinstance(message, bytes) else message.SerializeToString()
        call.sent += 1


def _record(call: ReceivedCall, requests: Iterator[bytes]) -> None:
    try:
        for request in requests:
            call.requests.append(request)
    except grpc.RpcError:
        return  # the call is over


def _messages(
    call: ReceivedCall, steps: tuple[Step, ...], context: grpc.ServicerContext
) -> Iterator[Payload]:
    for step in steps:
        if isinstance(step, Send):
            yield from step.messages
        elif isinstance(step, Replay):
            yield from step.history[step.after(call.request) :]
        elif isinstance(step, Stall):
            while not call.over and (message := call._feed.get()) is not None:
                yield message
        elif isinstance(step, Fail):
            context.set_trailing_metadata(step.trailing_metadata)
            context.abort(step.code, step.details)
        elif isinstance(step, Reset):
            context.cancel()  # type: ignore[no-untyped-call]  # in the stubs
            return
        else:
            return
