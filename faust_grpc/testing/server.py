"""A real gRPC server whose every call follows a script: for tests of streaming clients."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from ..exceptions import ConfigurationError
from ..types import Metadata
from .processes import free_port, wait_until
from .reflection import ReflectionHandler
from .steps import Fail, GoAway, Payload, Poison, Replay, Reset, Send, Stall, Step

__all__ = ["ReceivedCall", "ScriptedServer"]

#: The port of a server that sent GOAWAY is free again as soon as its listener is closed.
_LISTEN_SECONDS = 5.0

_Feed: TypeAlias = "queue.SimpleQueue[Payload | None]"


@dataclass
class ReceivedCall:
    """One call that the server received.

    Attributes:
        path: ``/package.Service/Method``.
        metadata: what the caller sent, values of ``-bin`` names as bytes.
        peer: the address and port it came from: those of one connection.
        requests: serialized requests so far; grows on methods with a stream of requests.
        sent: messages sent so far.
        over: the call ended, whoever ended it.
    """

    path: str
    metadata: Metadata
    peer: str = ""
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
        files: see :meth:`describe`; without it server reflection is not offered.
        credentials: for TLS.
        options: of the gRPC server, for example ``("grpc.max_connection_age_ms", 500)``.
        calls_at_once: calls that can be open at the same time.
    """

    def __init__(
        self,
        *,
        files: FileDescriptorSet | bytes | Path | None = None,
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
        self._reflection: ReflectionHandler | None = None
        if files is not None:
            self.describe(files)
        self._server: grpc.Server | None = None
        #: They sent GOAWAY; their calls may still go on.
        self._ending: list[grpc.Server] = []
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

    def describe(self, files: FileDescriptorSet | bytes | Path) -> None:
        """Answer server reflection from now on.

        Arguments:
            files: a descriptor set, its bytes, or the path of a file with them, as ``protoc
                --include_imports --descriptor_set_out=FILE`` writes it.
        """
        if isinstance(files, Path):
            files = files.read_bytes()
        if isinstance(files, bytes):
            files = FileDescriptorSet.FromString(files)
        self._reflection = ReflectionHandler(files)

    def start(self) -> None:
        """Listen, on the same port as before.

        Raises:
            NotReady: the port is taken.
        """
        self._threads = ThreadPoolExecutor(self._calls_at_once, "scripted-server")
        self._listen()

    def _listen(self) -> None:
        """Begin to serve, in the threads that there are."""
        assert self._threads is not None
        server = grpc.server(self._threads, [_Handlers(self)], options=self._options)
        wait_until(lambda: self._bound(server), _LISTEN_SECONDS, f"port {self.port}, to listen on")
        server.start()
        self._server = server

    def _bound(self, server: grpc.Server) -> bool:
        try:
            if self._credentials is None:
                server.add_insecure_port(self.target)
            else:
                server.add_secure_port(self.target, self._credentials)
        except RuntimeError:  # gRPC's "Failed to bind"
            return False
        return True

    def stop(self, grace: float | None = None) -> None:
        """Close the port and end all calls; :meth:`start` opens it again.

        Arguments:
            grace: seconds that calls may go on after the connections' GOAWAY; ``None`` breaks
                them off.
        """
        if self._server is None or self._threads is None:
            return
        for ended in [server.stop(grace) for server in (self._server, *self._ending)]:
            ended.wait()
        self._ending.clear()
        self._threads.shutdown()
        self._server = None

    def goaway(self, grace_seconds: float = 5.0) -> None:
        """Send GOAWAY on every connection, and listen again at once.

        Arguments:
            grace_seconds: how long open calls may go on; then they are broken off. New calls come
                on new connections.
        """
        if self._server is not None:
            self._server.stop(grace_seconds)
            self._ending.append(self._server)
            self._listen()

    def drop(self) -> None:
        """Break off every call and close every connection; the server is back at once."""
        self.stop()
        self.start()

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
            reflection = self._server._reflection
            return None if reflection is None else reflection.service(handler_call_details)
        metadata = tuple(handler_call_details.invocation_metadata)

        def serve(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            pairs = tuple((name, value) for name, value in metadata)
            call = ReceivedCall(path, pairs, context.peer())
            yield from _serve(self._server, call, steps, requests, context)

        return grpc.stream_stream_rpc_method_handler(serve)


def _serve(
    server: ScriptedServer,
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
    server.calls.append(call)
    context.send_initial_metadata(())
    for message in _messages(server, call, steps, context):
        yield message if isinstance(message, bytes) else message.SerializeToString()
        call.sent += 1


def _record(call: ReceivedCall, requests: Iterator[bytes]) -> None:
    try:
        for request in requests:
            call.requests.append(request)
    except grpc.RpcError:
        return  # the call is over


def _messages(
    server: ScriptedServer,
    call: ReceivedCall,
    steps: tuple[Step, ...],
    context: grpc.ServicerContext,
) -> Iterator[Payload]:
    for step in steps:
        if isinstance(step, Send):
            yield from step.messages
        elif isinstance(step, Poison):
            yield step.raw
        elif isinstance(step, GoAway):
            server.goaway(step.grace_seconds)
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
