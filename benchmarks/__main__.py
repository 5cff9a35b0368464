"""``python -m benchmarks NAME --json FILE``."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from . import decode, durable, path, recovery, table, takeover
from .report import aligned, machine


@click.group()
def main() -> None:
    """Measure parts of faust_grpc against named alternatives in the same run."""


@main.command("path")
@click.option("--rounds", default=5, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def path_command(rounds: int, target: str) -> None:
    """From the socket to an agent: events per second and CPU per event."""
    results = path.run(rounds)
    click.echo(aligned(results), err=True)
    _write(target, {"results": results, "machine": machine()})


@main.command("table")
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def table_command(rounds: int, target: str) -> None:
    """Events into a table: events per second and CPU per event, by number of keys."""
    results = table.run(rounds)
    click.echo(aligned(results), err=True)
    _write(target, {"results": results, "machine": machine()})


@main.command("durable")
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def durable_command(rounds: int, target: str) -> None:
    """One stream into a topic, exactly once: records per second and CPU per record."""
    results = durable.run(rounds)
    click.echo(aligned(results), err=True)
    _write(target, {"results": results, "machine": machine()})


@main.command("decode")
@click.option("--rounds", default=15, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def decode_command(rounds: int, target: str) -> None:
    """From raw bytes to a value: CPU per message."""
    results = decode.run(rounds)
    for name, row in results.items():
        factor = row["cpu_us"] / results["hand_written"]["cpu_us"]
        click.echo(f"{name:<20}{row['cpu_us']:>10.2f} us{factor:>8.2f} x hand-written", err=True)
    _write(target, {"results": results, "machine": machine()})


@main.command("recovery")
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds; medians count.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def recovery_command(rounds: int, target: str) -> None:
    """A table from its changelog: records per second."""
    results = recovery.run(rounds)
    for name, row in results.items():
        factor = row["records_per_s"] / results["faust_recovery"]["records_per_s"]
        rate = f"{name:<20}{row['records_per_s']:>10,.0f} records/s"
        click.echo(f"{rate}{factor:>8.1f} x Faust's own{row['peak_mb']:>8.0f} MB", err=True)
    _write(target, {"results": results, "machine": machine()})


@main.command("takeover")
@click.option("--rounds", default=3, show_default=True, help="Workers killed; the median counts.")
@click.option("--json", "target", default="", help="Write JSON to a file, or - for stdout.")
def takeover_command(rounds: int, target: str) -> None:
    """A killed worker with a large table: seconds until its splits go on elsewhere."""
    results = takeover.run(rounds)
    click.echo(f"takeover {results['takeover']['seconds']:.1f} s", err=True)
    _write(target, {"results": results, "machine": machine()})


def _write(target: str, report: dict[str, object]) -> None:
    text = orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()
    if target == "-":
        click.echo(text)
    elif target:
        Path(target).write_text(text + "\n")


if __name__ == "__main__":
    main()
