"""Quotes that come faster than they are looked at: the latest counts. See README.md."""

from __future__ import annotations

import asyncio
import os

import faust
from faust import web
from faust.types import StreamT

from faust_grpc import Buffer, GrpcSource

TARGET = os.environ.get("MARKET_DATA_TARGET", "localhost:50051")
VENUES = ("XLON", "XPAR")
CANDLE_SECONDS = 10


class Quote(faust.Record):
    """What a venue offers for a symbol."""

    venue: str
    symbol: str
    number: int
    bid: float
    ask: float


class Candle(faust.Record):
    """How the middle of bid and ask moved in a window."""

    opened: float
    high: float
    low: float
    closed: float


app = faust.App("market-data")

quotes = GrpcSource(
    app,
    TARGET,
    "market.v1.MarketDataService/StreamQuotes",
    name="quotes",
    splits={venue: {"venue": venue} for venue in VENUES},
    value_type=Quote,
    key="symbol",
    timestamp="quoted_at",
    # No cursor: old quotes are of no use. Those that wait for a slow agent make room for the
    # newest of their symbol, and are counted.
    buffer=Buffer(overflow="latest", unacked=32),
)

latest = app.Table("latest", default=float)
candles = (
    app.Table("candles", default=lambda: None)
    .tumbling(CANDLE_SECONDS, expires=3600)
    .relative_to_stream()
)


@app.agent(quotes)
async def value(quotes: StreamT[Quote]) -> None:
    """Keep the latest price and the candles; valuing a portfolio takes its time."""
    async for quote in quotes:
        name = f"{quote.venue}/{quote.symbol}"
        price = (quote.bid + quote.ask) / 2
        latest[name] = price
        candle = candles[name].value() or Candle(price, price, price, price)
        high, low = max(candle.high, price), min(candle.low, price)
        candles[name] = Candle(candle.opened, high, low, price)
        await asyncio.sleep(0.005)


@app.page("/latest/")
async def show(view: web.View, request: web.Request) -> web.Response:
    """Return the latest prices, and how many quotes were passed over."""
    dropped = {split.name: sum(split.dropped.values()) for split in quotes.status().splits}
    return view.json({"latest": dict(latest.items()), "passed_over": dropped})
