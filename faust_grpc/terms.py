"""What a source needs before its first call, and what people ask about: connections and types."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .connections import Connections
from .credentials import ask
from .declaration import Declaration, Plan
from .discovery import Discovery
from .schema import DriftWatch, Method, ReflectionSchema

__all__ = ["Terms"]


class Terms:
    """The terms on which a source is read.

    Arguments:
        declaration: what was declared.
        plan: the declaration bound to the method's types, when its schema is static.
    """

    def __init__(self, declaration: Declaration, plan: Plan | None) -> None:
        #: ``None`` until the server told the types.
        self.plan = plan
        self.connections = Connections(declaration)
        self._declaration = declaration
        self._drift: DriftWatch | None = None

    @property
    def bad_timestamps(self) -> int:
        """Event times that were there and could not be used."""
        return self.plan.decoder.bad_timestamps.count if self.plan is not None else 0

    async def settle(
        self, waiting: Callable[[str], None], reload: Callable[[Method], None]
    ) -> None:
        """Read the credentials; ask the server for the method's types, for as long as it takes.

        Arguments:
            waiting: told what is waited for.
            reload: see :meth:`Discovery.watch`.

        Raises:
            ConfigurationError: the declaration does not fit what the server has, or a certificate
                cannot be used.
            ReflectionFailed: the server cannot tell.
        """
        for split in self._declaration.splits:
            self.connections.to(split.target)
        if self.plan is None:
            what = "the server's schema"
            waiting(what)
            discovery = Discovery(self._declaration, self.connections.to(None))
            self.plan = await discovery.plan(lambda reason: waiting(f"{what}: {reason}"))
            self._drift = discovery.watch(reload)

    def look(self, calls: Iterable[int]) -> None:
        """Look, now and then, whether the server's types are still those.

        Arguments:
            calls: how many each split has made.
        """
        if self._drift is not None:
            self._drift.look(sum(max(0, count - 1) for count in calls))

    async def served(self) -> Method:
        """Return the method as its server describes it, whatever the declared schema is.

        Raises:
            ReflectionFailed: the server does not say.
            SchemaError: it has no such method.
        """
        declared = self._declaration
        metadata = await ask(declared.metadata)
        with self.connections.to(None).acquire("aio") as aio:
            return await ReflectionSchema().fetch(declared.method, aio, metadata)

    def close(self) -> None:
        """Ask the server nothing more."""
        if self._drift is not None:
            self._drift.close()
