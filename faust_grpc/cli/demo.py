"""``faust-grpc demo``: a pipeline that runs by itself, is broken on purpose, and is checked."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from types import FrameType
from typing import NoReturn

import click

from ..demo import Outcome, choose_view, run_demo
from ..exceptions import FaustGrpcError
from ..testing import broker

__all__ = ["demo"]

#: An order that the first calls read, so that a short demo comes to it too.
_PASSED_OVER = "north:7"


class OrdersLost(FaustGrpcError):
    """The check of the demo failed."""


@click.command(short_help="Run a pipeline by itself, break it, and check the result.")
@click.option(
    "--broker",
    "kind",
    type=click.Choice(["mock", "kafka"]),
    default="mock",
    show_default=True,
    help="mock starts at once; kafka is a real one (pip install 'faust-grpc[kafka]').",
)
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=12),
    default=20,
    show_default=True,
    help="About how long it may take.",
)
@click.option("--plain", is_flag=True, help="Print lines, on a terminal too.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.option(
    "--lose", is_flag=True, help="Pass over one order, to see that the check notices: it must fail."
)
def demo(kind: str, seconds: float, plain: bool, as_json: bool, lose: bool) -> None:
    """Run a pipeline by itself, break it, and check the result.

    A service streams orders in four regions; two Faust workers read them into agents and tables.
    Then the service is killed and started again, a worker is killed and its regions move to the
    other, and a third worker joins. In the end the orders in the tables are compared with those
    that were sent: the exit status is 0 if none was lost. Nothing has to be installed or started
    before, and nothing is left behind.

    \b
    Examples:
      faust-grpc demo
      faust-grpc demo --broker kafka --seconds 60
      faust-grpc demo --json | tail -1
    """
    # So that SIGTERM, too, removes what was started.
    signal.signal(signal.SIGTERM, _terminated)
    with choose_view(plain=plain, as_json=as_json) as view:
        started = broker("mock" if kind == "mock" else "kafka")
        outcome = run_demo(started, view, seconds=seconds, lose=_PASSED_OVER if lose else "")
    click.echo(_json(outcome) if as_json else outcome.line())
    verdict = outcome.verdict
    if not verdict.good:
        wrong = verdict.lost or verdict.unknown
        what = "not processed" if verdict.lost else "processed, but never sent"
        more = ", …" if len(wrong) > 5 else ""
        raise OrdersLost(
            f"orders {what}: {', '.join(wrong[:5])}{more}; the logs are in {outcome.directory}"
        )


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _json(outcome: Outcome) -> str:
    verdict = asdict(outcome.verdict)
    return json.dumps({"demo": {**verdict, "workers": outcome.workers, "seconds": outcome.seconds}})
