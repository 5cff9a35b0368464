"""Asking a server for the method's types: before the first call, and now and then after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from grpc import StatusCode

from .backoff import Delays
from .connection import Connection
from .credentials import ask
from .declaration import Declaration, Plan
from .exceptions import ConfigurationError, ReflectionFailed
from .schema import Drift, DriftWatch, Method, ReflectionSchema
from .types import Status

__all__ = ["Discovery"]

logger = logging.getLogger(__name__)


class Discovery:
    """A source whose types come from the server's reflection service.

    Arguments:
        declaration: what was declared; its schema is a :class:`ReflectionSchema`.
        connection: to the source's own target.
    """

    def __init__(self, declaration: Declaration, connection: Connection) -> None:
        assert isinstance(declaration.schema, ReflectionSchema)
        self._declaration = declaration
        self._schema = declaration.schema
        self._connection = connection
        self._method: Method | None = None

    async def plan(self, failed: Callable[[str], None]) -> Plan:
        """Return the declaration bound to the server's types, for as long as it takes.

        Arguments:
            failed: told why an attempt failed that will be made again.

        Raises:
            ConfigurationError: the declaration does not fit what the server has.
            ReflectionFailed: the server cannot tell.
        """
        declaration = self._declaration
        delays = Delays(declaration.backoff)
        while True:
            try:
                metadata = await ask(declaration.metadata)
                with self._connection.acquire("aio") as aio:
                    self._method = await self._schema.fetch(declaration.method, aio, metadata)
                return declaration.plan(self._method)
            except ReflectionFailed as exc:
                if not exc.retryable:
                    raise
                seconds = delays.next()
                reason = self._explained(exc)
                failed(reason)
                logger.warning(
                    "%s: %s; attempt %d in %.1f s",
                    declaration.name,
                    reason,
                    delays.attempts + 1,
                    seconds,
                )
                await asyncio.sleep(seconds)

    def _explained(self, exc: ReflectionFailed) -> str:
        advice = self._connection.explain(Status(StatusCode.UNAVAILABLE, str(exc)))
        return f"{exc} [{advice}]" if advice else str(exc)

    def watch(self, reload: Callable[[Method], None]) -> DriftWatch:
        """Return a watch that compares the server's types with those the plan was made of.

        Arguments:
            reload: reads with other types from now on, when the schema option says so; raises
                :class:`ConfigurationError` when the declaration does not fit them.
        """

        async def changes() -> Drift:
            assert self._method is not None
            metadata = await ask(self._declaration.metadata)
            with self._connection.acquire("aio") as aio:
                drift = await self._schema.drift(self._method, aio, metadata)
            if drift.lines and drift.method is not None and self._schema.on_drift == "reload":
                return replace(drift, outcome=self._reloaded(drift.method, reload))
            return drift

        seconds = self._schema.drift_interval_seconds
        return DriftWatch(self._declaration.name, changes, interval_seconds=seconds)

    def _reloaded(self, method: Method, reload: Callable[[Method], None]) -> str:
        try:
            reload(method)
        except ConfigurationError as exc:
            return f"this worker goes on with those it has, as the new ones do not fit: {exc}"
        self._method = method
        return "this worker reads with the new ones from now on"
