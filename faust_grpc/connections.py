"""The connections of one source: one to each target that its splits name."""

from __future__ import annotations

from collections.abc import Iterator

from .connection import Connection
from .declaration import Declaration
from .targets import Target, TargetOption, parse_targets

__all__ = ["Connections"]


class Connections:
    """Makes connections when they are first asked for; they belong to one event loop.

    Arguments:
        declaration: says how to connect.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        self._by_target: dict[tuple[Target, ...], Connection] = {}

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_target.values()))

    def to(self, target: TargetOption | None) -> Connection:
        """Return the connection to a split's own target, or to the source's.

        Raises:
            CredentialsError: a certificate cannot be used.
        """
        targets = parse_targets(target) if target is not None else self._declaration.targets
        connection = self._by_target.get(targets)
        if connection is None:
            connection = self._by_target[targets] = self._new(targets)
        return connection

    def _new(self, targets: tuple[Target, ...]) -> Connection:
        declaration = self._declaration
        return Connection(
            targets,
            tls=declaration.tls,
            call_credentials=declaration.call_credentials,
            proxy=declaration.proxy,
            balance=declaration.balance,
            streams_per_connection=declaration.streams_per_connection,
            connect_seconds=declaration.timeouts.connect_seconds,
            keepalive=declaration.keepalive,
            buffer=declaration.buffer,
            backoff=declaration.backoff,
        )

    @property
    def proxy(self) -> str:
        """The HTTP proxy that they go through, or empty."""
        return next(filter(None, (connection.proxy for connection in self)), "")

    async def close(self) -> None:
        """Close all of them."""
        for connection in self:
            await connection.close()
        self._by_target.clear()
