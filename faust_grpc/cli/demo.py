"""``faust-grpc demo``."""

from __future__ import annotations

import sys

import click

__all__ = ["demo"]


@click.command(short_help="Run a pipeline by itself, break it, and check the result.")
def demo() -> None:
    """x"""
    sys.exit(0)
