"""An HTTP proxy that opens tunnels (CONNECT), or refuses to."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["HttpProxy"]


class HttpProxy:
    """Listens on a free port of 127.0.0.1.

    Arguments:
        refuses: status line to answer with instead of opening a tunnel.
    """

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        #: Who was asked for, ``host:port`` each.
        self.asked: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> HttpProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        await asyncio.wait([task])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            asked = head.split()[1].decode()
            self.asked.append(asked)
            if self.refuses:
                writer.write(f"HTTP/1.1 {self.refuses}\r\n\r\n".encode())
                writer.close()
                return
            host, _, port = asked.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return  # one side went away
    finally:
        writer.close()
