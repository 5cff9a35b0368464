"""The pages on a port of their own: for workers that run without Faust's web server."""

from __future__ import annotations

from typing import Any

from aiohttp.web import Application, AppRunner, Request, StreamResponse, TCPSite
from faust import web
from faust.types import AppT
from mode import Service

__all__ = ["OwnPort"]


class OwnPort(Service):
    """Serves a blueprint.

    Arguments:
        app: the application.
        blueprint: the pages.
        prefix: their path.
        port: where to listen, on the address that Faust's ``web_bind`` says.
    """

    def __init__(self, app: AppT, blueprint: web.Blueprint, prefix: str, port: int) -> None:
        self._app = app
        self._port = port
        application = Application()
        for route in blueprint.routes:
            view_class: Any = route.handler  # of a blueprint it is one
            view = view_class(app, app.web)
            for method in sorted(view.get_methods()):
                application.router.add_route(method, f"{prefix}{route.uri}", _handler(view))
        self._runner = AppRunner(application, access_log=None)
        super().__init__()

    async def on_start(self) -> None:
        """Listen."""
        await self._runner.setup()
        conf = self._app.conf
        site = TCPSite(self._runner, conf.web_bind, self._port, ssl_context=conf.web_ssl_context)
        await site.start()

    async def on_stop(self) -> None:
        """Answer no more."""
        await self._runner.cleanup()


def _handler(view: Any) -> Any:
    async def handle(request: Request) -> StreamResponse:
        response: StreamResponse = await view(request)
        return response

    return handle
