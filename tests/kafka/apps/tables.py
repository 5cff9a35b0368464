"""A Faust worker with every kind of table, written by an ordinary agent.

Its only argument is JSON: ``id``, ``datadir``, ``settings``, and if wanted

- ``bulk``: load the tables in bulk; without it faust_grpc is not imported
- ``slow``: seconds that every batch takes longer to load
- ``summary``: of the table ``plain`` only how many keys it has, and the sum of its values
- ``read_committed``: the standbys do

After each recovery it prints one line of JSON with all that it found in the tables, when it loads
one with how much, when its standbys are ready one with what RocksDB has of them, and after each
event one with how many it has had.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import faust
from faust.sensors.base import Sensor
from faust.serializers import codecs

CONFIG: dict[str, Any] = json.loads(sys.argv[1])
OUT = os.dup(1)


class Backwards(codecs.Codec):
    """A codec of the user's."""

    def _dumps(self, s: Any) -> bytes:
        return json.dumps(s).encode()[::-1]

    def _loads(self, s: bytes) -> Any:
        return json.loads(s[::-1])


codecs.register("backwards", Backwards())


class Item(faust.Record):
    """Stored as JSON, with its name."""

    sku: str
    quantity: int


class Secret(faust.Record, serializer="backwards"):
    """Stored with the user's codec."""

    text: str


class Tagged(faust.Schema):
    """Needs a header to read what it wrote."""

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        """Say in a header what the value was multiplied with."""
        return {**(headers or {}), "factor": b"2"}

    def dumps_value(self, app: Any, value: Any, **options: Any) -> Any:
        """Write twice the value."""
        return super().dumps_value(app, None if value is None else value * 2, **options)

    def loads_value(self, app: Any, message: Any, **options: Any) -> Any:
        """Read it."""
        factor = int(dict(message.headers)["factor"])
        return super().loads_value(app, message, **options) // factor


app = faust.App(
    CONFIG["id"],
    topic_replication_factor=1,
    worker_redirect_stdouts=False,
    broker_session_timeout=6.0,
    **{"store": "memory://", "table_standby_replicas": 0, **CONFIG["settings"]},
    datadir=CONFIG["datadir"],
)
# A standby's records go to its store one by one, not when there are a thousand.
plain = app.Table("plain", default=int, standby_buffer_size=1)
typed = app.Table("typed", default=int, key_type=str, value_type=int)
items = app.Table("items", value_type=Item)
untyped = app.Table("untyped")
secrets = app.Table("secrets", value_type=Secret)
pairs = app.Table("pairs", default=str)
windowed = app.Table("windowed", default=int).tumbling(3600.0)
sets = app.SetTable("sets")
tagged = app.Table("tagged", schema=Tagged()) if CONFIG.get("tagged") else None

inbox = app.topic(f"{CONFIG['id']}-in", partitions=4, internal=True, key_type=str, value_type=int)
had = 0


@app.agent(inbox)
async def write(numbers: Any) -> None:
    """Write all tables for each number; delete in all for every seventh."""
    global had  # the only state of the program
    async for key, number in numbers.items():
        had += 1
        plain[key] = number
        typed[key] = number
        items[key] = Item(sku=key, quantity=number)
        untyped[key] = {"number": number, "list": [number, None, "x"]}
        secrets[key] = Secret(text=f"secret {number}")
        pairs[key, number % 3] = f"pair {number}"
        windowed[key] += number
        sets[key].add(number % 5)
        if tagged is not None:
            tagged[key] = number
        if number % 7 == 0:
            for table in (plain, typed, items, untyped, secrets):
                del table[key]
            sets[key].discard(number % 5)
        tell({"had": had})


def tell(what: dict[str, Any]) -> None:
    os.write(OUT, (json.dumps(what) + "\n").encode())


class Recovered(Sensor):
    """Tells when a recovery is really over."""

    def asdict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def on_rebalance_end(self, app: Any, state: Any) -> None:
        """Show all tables."""
        if CONFIG.get("summary"):
            tell({"keys": len(plain), "sum": sum(plain.values()), "at": time.time()})
        else:
            tell({"tables": {table.name: contents(table) for table in app.tables.values()}})


def contents(table: Any) -> dict[str, str]:
    def shown(value: Any) -> str:
        return repr(sorted(value)) if hasattr(value, "discard") else repr(value)

    found = {repr(key): shown(value) for key, value in table.data.items()}
    return {key: found[key] for key in sorted(found)}


def load_in_bulk() -> None:
    import faust_grpc
    from faust_grpc import seams, stores

    faust_grpc.bulk_recovery(app)
    apply: Any = stores.MemoryLoader.apply

    def slow_apply(*arguments: Any) -> None:
        tell({"loading": len(arguments[-1])})
        time.sleep(CONFIG["slow"])
        apply(*arguments)

    if CONFIG.get("slow"):
        stores.MemoryLoader.apply = slow_apply  # type: ignore[method-assign]
    if CONFIG.get("read_committed"):
        seams.read_committed(app)


@app.on_partitions_assigned.connect
async def watch_standbys(*_arguments: Any, **_options: Any) -> None:
    """Look for the moment when they are ready."""
    if any(tp.topic == plain.changelog_topic_name for tp in app.assignor.assigned_standbys()):
        app.add_future(show_standbys())


async def show_standbys() -> None:
    from faust_grpc.testing import eventually

    await eventually(lambda: app.tables.standbys_ready, timeout=120)
    store: Any = plain.data
    found = {
        tp.partition: {
            key.decode(): value.decode()
            for key, value in store._db_for_partition(tp.partition).items()
            if key != store.offset_key
        }
        for tp in app.assignor.assigned_standbys()
        if tp.topic == plain.changelog_topic_name
    }
    tell({"standbys": found})


app.sensors.add(Recovered())
if CONFIG.get("bulk"):
    load_in_bulk()

if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
