"""``shop.v1.OrderService``, served by threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from ..reflection import ReflectionHandler
from .history import FILES, OrderHistory, order_message
from .records import CallLog, Progress

__all__ = ["OrderService"]

_SERVICE = "shop.v1.OrderService"
_CALLS_AT_ONCE = 256
_FOREVER_SECONDS = threading.TIMEOUT_MAX


class OrderService:
    """Streams orders, one independent stream per region; see ``orders.proto``.

    Arguments:
        rate: orders per second of calls that do not ask for a rate; 0 is no limit.
        count: orders in each region; afterwards its streams stay open and silent. 0 is no end.
        progress: where the highest sequence number sent is kept, per region.
        log: of the calls.
    """

    def __init__(
        self,
        *,
        rate: int = 0,
        count: int = 0,
        progress: Progress | None = None,
        log: CallLog | None = None,
    ) -> None:
        self._rate = rate
        self._count = count
        self._progress = progress or Progress()
        self._log = log or CallLog(sys.stderr)
        self._stopping = False
        #: One event per open call: set when it has to look why it should end.
        self._calls: set[threading.Event] = set()
        self._server: grpc.Server | None = None

    def start(self, port: int = 0) -> int:
        """Listen on a port of 127.0.0.1; 0 takes a free one.

        Returns:
            The port.
        """
        server = grpc.server(
            ThreadPoolExecutor(_CALLS_AT_ONCE, "orders"), options=[("grpc.so_reuseport", 0)]
        )
        handlers = {
            "StreamOrders": grpc.unary_stream_rpc_method_handler(
                self._stream_orders, order_message("StreamOrdersRequest").FromString
            ),
            "GetProgress": grpc.unary_unary_rpc_method_handler(
                self._get_progress,
                order_message("GetProgressRequest").FromString,
                order_message("Progress").SerializeToString,
            ),
        }
        files = FileDescriptorSet.FromString(FILES.read_bytes())
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(_SERVICE, handlers), ReflectionHandler(files)]
        )
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        self._server = server
        return port

    def stop(self) -> None:
        """End every stream with UNAVAILABLE, and the server. What was sent arrives."""
        self._stopping = True
        for call in list(self._calls):
            call.set()
        if self._server is not None:
            self._server.stop(grace=5).wait()
        self._progress.close()

    def _get_progress(self, request: Any, context: grpc.ServicerContext) -> Any:
        return order_message("Progress")(sent=self._progress.sent())

    def _stream_orders(self, request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        if not request.region:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "region: must not be empty")
        wake = threading.Event()
        if not context.add_callback(wake.set):
            return
        entry = {
            "reader": request.reader,
            "region": request.region,
            "after_sequence": request.after_sequence,
            "sent": 0,
            "last_sequence": request.after_sequence,
        }
        self._log.open(entry)
        self._calls.add(wake)
        try:
            context.send_initial_metadata(())
            yield from self._orders(request, entry, wake)
            if self._stopping:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
        finally:
            self._calls.discard(wake)
            self._log.close(entry)

    def _orders(
        self, request: Any, entry: dict[str, Any], wake: threading.Event
    ) -> Iterator[bytes]:
        history = OrderHistory(request.region)
        rate = request.rate or self._rate
        began = time.monotonic()
        sequence = request.after_sequence
        while not self._count or sequence < self._count:
            if request.limit and sequence >= request.limit:
                return
            # In time, not message by message: a late wake-up is caught up with.
            due = began + entry["sent"] / rate - time.monotonic() if rate else 0.0
            if wake.wait(due) if due > 0 else wake.is_set():
                return
            sequence += 1
            self._progress.record(request.region, sequence)
            yield history.wire(sequence)
            entry["sent"] += 1
            entry["last_sequence"] = sequence
        wake.wait(_FOREVER_SECONDS)
