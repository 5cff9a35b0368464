"""What commands that talk to workers share: their web pages, asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import click

from ..exceptions import ConfigurationError, HostError, nearest
from .output import printable, waiting

__all__ = ["WorkerPages", "chosen", "token_option", "url_option"]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "http://localhost:6066"
_ANSWER_SECONDS = 30.0

#: The HTTP status for no token, or a wrong one.
_REFUSED = 401

#: Workers are in our own network: never through a proxy of the environment.
_opener = build_opener(ProxyHandler({}))


def url_option(*names: str, **options: Any) -> Callable[[F], F]:
    """Return the option that says where a worker's web server is."""
    return click.option(
        *names,
        metavar="URL",
        envvar="FAUST_GRPC_URL",
        show_envvar=True,
        **options,
    )


def token_option(command: F) -> F:
    """Add ``--token``."""
    return click.option(
        "--token",
        envvar="FAUST_GRPC_TOKEN",
        show_envvar=True,
        metavar="SECRET",
        help="What the workers were given; better in the variable than here.",
    )(command)


@dataclass(frozen=True)
class WorkerPages:
    """The pages of this package on one worker's web server.

    Arguments:
        url: of the web server, or of the pages if they have another path than ``/grpc``.
        token: allows control.

    Raises:
        ConfigurationError: it is no URL.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigurationError(f"{self.url!r}: give a URL such as {DEFAULT_URL}")

    def status(self) -> dict[str, Any]:
        """Return what all workers do, as this one sees it.

        Raises:
            HostError: it does not answer, or with something else.
        """
        status = self._ask("status?cluster=true")
        if not isinstance(status.get("sources"), list):
            raise HostError(f"{self.url}: is no worker with sources")
        return status

    def act(self, source: str, split: str, action: str, **body: Any) -> dict[str, Any]:
        """Have a split paused, resumed, restarted, or its cursor set.

        Raises:
            HostError: it was refused, with the worker's reason.
        """
        path = "/".join(quote(part, safe="") for part in (source, split, action))
        return self._ask(path, body)

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = Request(self._page(path))
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with (
                waiting(f"asking {self.url}"),
                _opener.open(request, timeout=_ANSWER_SECONDS) as answer,
            ):
                return _parsed(self.url, answer.read())
        except HTTPError as error:
            with error:
                raise HostError(f"{self.url}: {_reason(error)}") from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise HostError(f"{self.url}: does not answer: {reason}") from error

    def _page(self, path: str) -> str:
        base = self.url.rstrip("/")
        return f"{base}/{path}" if urlsplit(base).path else f"{base}/grpc/{path}"


def chosen(status: dict[str, Any], source: str, url: str) -> list[dict[str, Any]]:
    """Return one source of a status, in a list.

    Raises:
        ConfigurationError: there is none of that name; the text has the nearest.
    """
    sources = {one["name"]: one for one in status["sources"]}
    if source not in sources:
        raise ConfigurationError(f"{url}: no source {source!r}: {nearest(source, sources)}")
    return [sources[source]]


def _parsed(url: str, body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise HostError(f"{url}: is no worker with sources: its answer is not ours")
    return parsed


def _reason(error: HTTPError) -> str:
    try:
        reason = printable(str(json.loads(error.read())["error"]))
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {error.code}: is it a worker with sources?"
    return f"{reason}; here by --token or $FAUST_GRPC_TOKEN" if error.code == _REFUSED else reason
