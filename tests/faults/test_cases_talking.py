"""The acceptance case about methods with a stream of requests too: it stays open."""

from __future__ import annotations

from consuming import Consumer, after_seq, scripted, send_ticks, tick
from h2_server import ErrorCodes, Stream
from test_cases_wire_silence import frame

from faust_grpc import Cursor


async def test_A01_the_request_side_stays_open() -> None:
    """A server that takes its end for the end of interest goes on; a new call asks anew."""
    asked: list[int] = []
    half_closed: list[bool] = []

    async def talk(stream: Stream) -> None:
        (raw,) = await stream.messages(1)
        asked.append(after_seq(raw))
        await stream.headers()
        for number in range(asked[-1] + 1, asked[-1] + 4):
            await stream.message(frame(tick={"seq": number}))
            await rigs[0].until(lambda number=number: number in rigs[0].seen)  # type: ignore[misc]
            half_closed.append(stream.half_closed)
        if len(asked) == 1:
            await stream.reset(ErrorCodes.INTERNAL_ERROR)

    rigs: list[Consumer] = []
    async with scripted(
        talk,
        "aio",
        method="cases.feed.v1.Feed/Talk",
        sequence=lambda message: message.tick.seq,
        cursor=Cursor("tick.seq", into="after_seq"),
        request={"sym": "A"},
    ) as (_, rig):
        rigs.append(rig)
        await rig.has_seen(1, 2, 3, 4, 5, 6)
        await rig.until(lambda: len(half_closed) == 6)  # the server looks behind the message
        assert asked == [0, 3]
        assert not any(half_closed)
        assert rig.split.state == "receiving"


async def test_the_other_kind_of_method_has_no_further_requests() -> None:
    """… and says so: its server need not wait for any."""

    async def ticks(stream: Stream) -> None:
        await send_ticks(stream, 1)
        await rigs[0].until(lambda: stream.half_closed)
        await stream.message(tick(2))

    rigs: list[Consumer] = []
    async with scripted(ticks, "aio") as (_, rig):
        rigs.append(rig)
        await rig.has_seen(1, 2)
