"""The worker of ``shop.py`` with agents that misbehave.

The shop's ``options`` say how:

- ``raise_every``: the agent that counts raises behind every so many orders of a region;
- ``hang``: ``[region, sequence, file]``: the first agent that meets that order never finishes it,
  and makes the file;
- ``slow_seconds``: an agent takes so long for every order.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import shop

OPTIONS: dict[str, Any] = shop.CONFIG["options"]
plain_count = shop.count


def count_and_raise(order: Any) -> None:
    """Count an order; then raise now and then."""
    plain_count(order)
    if order.sequence % OPTIONS["raise_every"] == 0:
        raise RuntimeError(f"behind {order.order_id}, as planned")


if "raise_every" in OPTIONS:
    shop.count = count_and_raise


def is_first(met: Path) -> bool:
    """Return whether nobody was here before."""
    try:
        met.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


for source in shop.sources:

    @shop.app.agent(source, name=f"trouble-{source.name}")
    async def trouble(orders: Any) -> None:
        """Hang, or be slow."""
        async for order in orders:
            hang = OPTIONS.get("hang", ("", 0, ""))
            if order.region == hang[0] and order.sequence == hang[1] and is_first(Path(hang[2])):
                await asyncio.Event().wait()
            if "slow_seconds" in OPTIONS:
                await asyncio.sleep(OPTIONS["slow_seconds"])


if __name__ == "__main__":
    shop.main()
