"""``faust -A shop grpc``: the commands of ``faust-grpc``, about the application of ``-A``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from .base import Commands, commands

__all__ = ["group"]


@click.group(cls=Commands, commands=commands.commands, context_settings=commands.context_settings)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Look at the gRPC sources of this application, and at gRPC streams.

    The commands are those of faust-grpc; they need no -A of their own.

    \b
    Examples:
      faust -A shop grpc check
      faust -A shop grpc checkpoint show orders
      faust -A shop grpc status --url http://worker-1:6066
      python shop.py grpc check             (with app.main())

    Exit status: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C.
    """
    # With app.main() there is no -A: the application is this program.
    given = {"app_name": getattr(ctx.obj, "app", None) or sys.argv[0]}
    if getattr(ctx.obj, "json", False):
        given["as_json"] = True
    ctx.default_map = dict(_defaults(commands.commands, given))


def _defaults(
    known: Mapping[str, click.Command], given: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, command in known.items():
        if isinstance(command, click.Group):
            yield name, dict(_defaults(command.commands, given))
        else:
            own = {parameter.name for parameter in command.params}
            yield name, {option: value for option, value in given.items() if option in own}
