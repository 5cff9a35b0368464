"""``-A module:app``: the application whose sources a command is about."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..exceptions import ConfigurationError, nearest

if TYPE_CHECKING:  # Faust is slow to import, and describe and tail do without
    from faust.types import AppT

    from ..feeds import Feed

__all__ = ["app_option", "find_source", "load_sources"]

F = TypeVar("F", bound=Callable[..., Any])


def app_option(command: F) -> F:
    """Add ``-A``; the command gets ``app_name``."""
    return click.option(
        "-A",
        "--app",
        "app_name",
        envvar="FAUST_APP",
        required=True,
        metavar="MODULE:APP",
        help="The application, as 'faust -A' takes it; or $FAUST_APP.",
    )(command)


def load_sources(name: str) -> tuple[AppT, dict[str, Feed]]:
    """Import an application; return it and its sources by name.

    Arguments:
        name: ``module``, ``module:attribute`` or ``module.attribute``.

    Raises:
        ConfigurationError: it cannot be imported, is no application, or has no source.
    """
    from ..runner import Runner

    app = _running() or _load(name)
    runners = [sensor for sensor in app.sensors if isinstance(sensor, Runner)]
    feeds = runners[0].feeds if runners else {}
    if not feeds:
        raise ConfigurationError(
            f"-A {name}: app {app.conf.id!r} has no source: a GrpcSource is known once its module "
            "is imported; import it in the app's module, or set autodiscover"
        )
    return app, feeds


def _running() -> AppT | None:
    """Return the application whose ``app.main()`` runs this command, if one does."""
    ctx = click.get_current_context(silent=True)
    app: AppT | None = None if ctx is None else getattr(ctx.find_root(), "app", None)
    return app


def _load(name: str) -> AppT:
    import faust
    from faust.cli.base import prepare_app

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found = _named(name)
    if not isinstance(found, faust.App):
        raise ConfigurationError(f"-A {name}: is {type(found).__name__}, not a faust.App")
    return prepare_app(found, name)


def _named(name: str) -> Any:
    """Return what a name stands for, by Faust's rules: ``pkg.module`` is its ``app``."""
    module_name, _, attribute = name.partition(":")
    try:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            parent, _, last = module_name.rpartition(".")
            if attribute or not parent or error.name != module_name:
                raise
            module, attribute = importlib.import_module(parent), last
        return getattr(module, attribute or "app")
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"-A {name}: {_missing(module_name, error)}") from error
    except AttributeError as error:
        raise ConfigurationError(f"-A {name}: {error}") from error


def _missing(module: str, error: ModuleNotFoundError) -> str:
    """Return which module is missing: that of the application, or one that it imports."""
    if f"{module}.".startswith(f"{error.name}."):
        return f"there is no module {error.name!r} (run it where 'faust -A' works)"
    importing = traceback.extract_tb(error.__traceback__)[-1]
    return f"{importing.filename}, line {importing.lineno}: {error}"


def find_source(feeds: dict[str, Feed], source: str) -> Feed:
    """Return a source by name.

    Raises:
        ConfigurationError: the application has no source of that name; the text has the nearest.
    """
    if source not in feeds:
        raise ConfigurationError(f"no source {source!r}: {nearest(source, feeds)}")
    return feeds[source]
