"""The ``faust`` command: a group of commands more."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

__all__ = ["offer_commands"]

#: Imported when somebody asks for the group.
_GROUP = "faust_grpc.cli.under_faust"


def offer_commands() -> None:
    """Add ``grpc`` to the commands of ``faust -A``, if it is this command that runs.

    Faust has no entry points for commands: those of an application are added to the click group
    ``faust.cli.base.cli`` while its module is imported. That module is slow to import, so it is not
    imported here: ``faust -A`` has done so before, and ``app.main()`` before it configures the app.
    faust-streaming 0.15.
    """
    base: Any = sys.modules.get("faust.cli.base")
    group = getattr(base, "cli", None)  # nothing, while the module is being imported
    if group is not None and "grpc" not in group.commands:
        group.add_command(_Later(name="grpc", short_help="Look at gRPC sources and their streams."))


class _Later(click.Group):
    """Becomes the real group when it is used: ``faust worker`` does not import it."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Have the real group take over."""
        group: click.Group = import_module(_GROUP).group
        return group.make_context(*arguments, **options)
