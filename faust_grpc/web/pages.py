"""The views, and how they get onto an application's web server."""

from __future__ import annotations

import asyncio
import hmac
import os
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from faust import web
from faust.types import AppT

from ..exceptions import ConfigurationError
from ..runner import Runner
from .actions import Asked, perform
from .cluster import FORWARDED, cluster_status
from .health import Require, not_ready, requirement
from .history import History
from .page import page, policy
from .port import OwnPort
from .status import worker_status

__all__ = ["register", "setup_web"]

_T = TypeVar("_T")

#: Where the token comes from when the application does not state it.
TOKEN_VARIABLE = "FAUST_GRPC_TOKEN"

blueprint = web.Blueprint("faust-grpc")


@dataclass(frozen=True)
class _Setting:
    prefix: str = "/grpc"
    #: Allows control; empty when nobody may.
    token: str = field(default="", repr=False)
    enabled: bool = True
    #: Beside that of Faust's web server.
    port: int | None = None


_settings: weakref.WeakKeyDictionary[AppT, _Setting] = weakref.WeakKeyDictionary()


def setup_web(
    app: AppT,
    *,
    token: str | None = None,
    prefix: str = "/grpc",
    enabled: bool = True,
    port: int | None = None,
) -> None:
    """Say how an application's web server shows its sources; needed only to change something.

    Arguments:
        app: the application; call it before the worker starts.
        token: who sends it may pause, resume and restart splits and set cursors. Default: the
            environment variable ``FAUST_GRPC_TOKEN``; without either nobody may.
        prefix: path of the pages.
        enabled: whether there are any pages.
        port: serve them on this port too: for a worker that runs ``--without-web``.

    Raises:
        ConfigurationError: the token is empty, the prefix is no path, or the port is none.
    """
    if token is not None and not token.strip():
        raise ConfigurationError("setup_web(token=''): give a secret, or None for no control")
    if not prefix.startswith("/") or prefix == "/" or prefix.endswith("/"):
        raise ConfigurationError(f"setup_web(prefix={prefix!r}): give a path such as '/grpc'")
    if port is not None and not 0 < port < 65536:
        raise ConfigurationError(f"setup_web(port={port!r}): give a port from 1 to 65535")
    register(app)
    given = _settings[app].token if token is None else token.strip()
    _settings[app] = _Setting(prefix, given, enabled, port)


def register(app: AppT) -> None:
    """Add the pages to an application's web server, when its worker starts."""
    if app in _settings:
        return
    _settings[app] = _Setting()

    def add() -> None:
        setting = _settings[app]
        token = setting.token or os.environ.get(TOKEN_VARIABLE, "").strip()
        _settings[app] = replace(setting, token=token)
        if not setting.enabled:
            return
        blueprint.register(app, url_prefix=setting.prefix)
        if setting.port is not None:
            runner.add_dependency(OwnPort(app, blueprint, setting.prefix, setting.port))

    runner = Runner.of(app)
    runner.starting.append(add)


async def _in_the_app(app: AppT, function: Callable[[], Awaitable[_T]]) -> _T:
    """Run in the worker's loop: the web server has its own with ``web_in_thread``."""
    if asyncio.get_running_loop() is app.loop:
        return await function()

    async def run() -> _T:
        return await function()

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), app.loop))


@blueprint.route("/health/live", name="live")
class Live(web.View):
    """Whether the worker's event loop runs: an answer is the answer."""

    async def get(self, request: web.Request) -> web.Response:
        """Return 200."""
        return self.json({"live": True})


@blueprint.route("/health/ready", name="ready")
class Ready(web.View):
    """Whether the worker has its partitions and has recovered its tables."""

    async def get(self, request: web.Request) -> web.Response:
        """Return 200, or 503 and why not. ``?require=receiving`` or ``synced`` asks for more."""
        try:
            require = requirement(request.query.get("require"))
        except ConfigurationError as error:
            return self.json({"error": str(error)}, status=400)
        reasons = await _in_the_app(self.app, lambda: _listed(self.app, require))
        return self.json({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


async def _listed(app: AppT, require: Require) -> list[str]:
    return list(not_ready(app, require))


@blueprint.route("/status", name="status")
class Status(web.View):
    """Every source and split."""

    async def get(self, request: web.Request) -> web.Response:
        """Return what this worker does.

        ``?cluster=true`` asks the others too, ``?history=true`` adds rates of the last minute.
        """
        whole, history = _asked(request, "cluster"), _asked(request, "history")
        return self.json(
            await _in_the_app(self.app, lambda: _status(self.app, whole, history=history))
        )


def _asked(request: web.Request, option: str) -> bool:
    return request.query.get(option, "") in ("1", "true", "yes")


async def _status(app: AppT, whole: bool, *, history: bool) -> dict[str, Any]:
    if history:
        History.of(app).look()
    if whole:
        return await cluster_status(app, _settings[app].prefix, history=history)
    return worker_status(app, history=history)


@blueprint.route("/", name="page")
class Page(web.View):
    """The status page, for people."""

    async def get(self, request: web.Request) -> web.Response:
        """Return it; it refreshes itself."""
        setting = _settings[self.app]
        status = await _in_the_app(self.app, lambda: _status(self.app, True, history=True))
        # In a thread: a thousand splits take longer than the event loop may stand still.
        text, nonce = await asyncio.to_thread(
            page, status, prefix=setting.prefix, control=bool(setting.token)
        )
        return self.html(text, headers=policy(nonce))


# Without the expressions a name with braces in it would be found nowhere.
@blueprint.route("/{source:[^/]+}/{split:[^/]+}/{action:[^/]+}", name="control")
class Act(web.View):
    """Pause, resume or restart a split, or set its cursor."""

    async def post(
        self, request: web.Request, source: str, split: str, action: str
    ) -> web.Response:
        """Do it, here or in the worker that owns the split; with the token only."""
        refusal = _refusal(_settings[self.app].token, request.headers.get("Authorization", ""))
        if refusal:
            return self.json({"error": refusal}, status=403 if "off" in refusal else 401)
        body = await request.read()
        forwarded = FORWARDED in request.headers
        headers = dict(request.headers)

        async def act() -> tuple[int, dict[str, Any]]:
            asked = Asked(source, split, action, headers, body)
            return await perform(self.app, asked, _settings[self.app].prefix, forwarded=forwarded)

        status, answer = await _in_the_app(self.app, act)
        return self.json(answer, status=status)


def _refusal(token: str, header: str) -> str:
    """Return why a request for control is refused, or nothing."""
    if not token:
        return f"control is off: give the workers a token, {TOKEN_VARIABLE} or setup_web(token=)"
    scheme, _, given = header.partition(" ")
    # In constant time: how long it takes must not tell how much of the token was right.
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return ""
    return "wrong token" if given else "no token: send it as 'Authorization: Bearer TOKEN'"
