"""The command itself: its options, and how every subcommand ends."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, NoReturn

import click

from .. import __version__
from ..exceptions import FaustGrpcError, nearest
from .check import check
from .checkpoint import checkpoint
from .control import pause, restart, resume
from .demo import demo
from .describe import describe
from .from_connect import from_connect
from .generate import generate
from .status import status
from .tail import tail

__all__ = ["Commands", "Failure", "commands", "main"]

#: Exit statuses as shells have them, 128 + the signal: SIGINT, and the SIGPIPE that Python ignores.
INTERRUPTED = 130
PIPE_CLOSED = 141


class Failure(click.ClickException):
    """An error of ours, for people: one line on standard error, exit status 1."""

    exit_code = 1

    def __init__(self, error: FaustGrpcError) -> None:
        super().__init__(str(error))

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"faust-grpc: {self.message}", file=file, err=file is None)


class Commands(click.Group):
    """Ends every subcommand the same way, whatever it raised."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; a typo is answered with the nearest."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"no such command {name!r}: {nearest(name, self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except FaustGrpcError as error:
            raise Failure(error) from error
        except BrokenPipeError:
            _close_quietly()
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        else:
            return result


def _close_quietly() -> NoReturn:
    """End: who read our output has enough of it."""
    # Python flushes stdout once more at exit; the rest goes nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(PIPE_CLOSED)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, "--version", prog_name="faust-grpc")
def commands() -> None:
    """Look at gRPC streams, and at the sources of a Faust application.

    \b
    Examples:
      faust-grpc describe localhost:50051
      faust-grpc describe localhost:50051 shop.v1.OrderService/StreamOrders
      faust-grpc tail localhost:50051 shop.v1.OrderService/StreamOrders \\
          --request '{"region": "north"}' --limit 10
      faust-grpc generate localhost:50051 --output records.py
      faust-grpc check -A shop
      faust-grpc status --url http://worker-1:6066
      faust-grpc checkpoint show orders -A shop
      faust-grpc from-connect connector.json
      faust-grpc demo

    Exit status: 0 done, 1 it did not work, 2 wrong usage, 130 Ctrl-C.
    """


commands.add_command(check)
commands.add_command(checkpoint)
commands.add_command(pause)
commands.add_command(restart)
commands.add_command(resume)
commands.add_command(status)
commands.add_command(describe)
commands.add_command(tail)
commands.add_command(generate)
commands.add_command(from_connect)
commands.add_command(demo)


def main() -> None:
    """Run the command line."""
    # The core reports what happens to its calls as warnings.
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        commands(prog_name="faust-grpc")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
