"""A server on gRPC's asyncio stack, in a process of its own: one message per call, then silence.

Prints its port. ``/stats`` tells how many calls are open, and from how many TCP connections.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from consuming import Ask, tick


class Server(grpc.GenericRpcHandler):
    """Keeps calls open."""

    def __init__(self) -> None:
        self.open = 0
        self.calls = 0
        self.peers: set[str] = set()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        if details.method == "/stats":
            return grpc.unary_unary_rpc_method_handler(self.stats)
        return grpc.unary_stream_rpc_method_handler(self.watch)

    async def watch(self, raw: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        self.calls += 1
        self.open += 1
        self.peers.add(context.peer())
        try:
            yield tick(1, sym=Ask.FromString(raw).sym)
            await asyncio.Event().wait()
        finally:
            self.open -= 1

    async def stats(self, _: bytes, context: grpc.aio.ServicerContext) -> bytes:
        told = {"open": self.open, "calls": self.calls, "connections": len(self.peers)}
        return json.dumps(told).encode()


async def main() -> None:
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 100)])
    server.add_generic_rpc_handlers((Server(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
