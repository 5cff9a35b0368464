"""The market data service: quotes of a venue as they come, and none of the past."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from faust_grpc.testing.service import serve

RATE = float(os.environ.get("MARKET_DATA_RATE", "1000"))
SYMBOLS = ("ACME", "BOLT", "CRUX", "DELTA", "ECHO", "FLUX", "GRID", "HALO")


def quotes(request: Any) -> Iterator[dict[str, Any]]:
    """Yield quotes of all symbols, a random walk each, at a fixed rate."""
    chance = random.Random(request.venue)
    middle = {symbol: chance.uniform(20, 200) for symbol in SYMBOLS}
    began, number = time.monotonic(), 0
    while True:
        number += 1
        symbol = SYMBOLS[number % len(SYMBOLS)]
        middle[symbol] *= 1 + chance.gauss(0, 0.0005)
        yield {
            "venue": request.venue,
            "symbol": symbol,
            "number": number,
            "bid": round(middle[symbol] * 0.999, 2),
            "ask": round(middle[symbol] * 1.001, 2),
            "quoted_at": datetime.now(timezone.utc),
        }
        # In time, not quote by quote: a late wake-up is caught up with.
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))


if __name__ == "__main__":
    serve(
        Path(__file__).with_name("market_data.binpb"),
        {"market.v1.MarketDataService/StreamQuotes": quotes},
    )
