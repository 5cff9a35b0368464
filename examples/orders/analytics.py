"""Where analysts look: PostgreSQL when it is there, a SQLite file otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any

#: ``postgresql://user:password@host/name`` (needs ``pip install psycopg[binary]``), or a file.
DATABASE = os.environ.get("ORDERS_DATABASE", "orders.sqlite3")
RETRY_SECONDS = 2.0

TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY, region TEXT, status TEXT, pieces INTEGER, created_at TEXT
)
"""
#: An order that comes again changes nothing: at-least-once becomes exactly-once.
UPSERT = """
INSERT INTO orders VALUES (?, ?, ?, ?, ?)
ON CONFLICT (order_id) DO UPDATE SET status = excluded.status
"""

logger = logging.getLogger(__name__)


async def keep(rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, and do not return before they are written.

    An agent that raised would have finished its orders, as Faust sees it, and they would be
    missing. So it waits for its database, and the checkpoint waits for the agent.
    """
    rows = list(rows)
    while True:
        try:
            return await asyncio.to_thread(_write, rows)
        except Exception as exc:  # of either driver: the database is away
            logger.warning("%d orders wait for the database: %s", len(rows), exc)
            await asyncio.sleep(RETRY_SECONDS)


def _write(rows: Sequence[Sequence[Any]]) -> None:
    is_postgres = DATABASE.startswith("postgres")
    with closing(_postgres() if is_postgres else sqlite3.connect(DATABASE)) as database:
        cursor = database.cursor()
        cursor.execute(TABLE)
        cursor.executemany(UPSERT.replace("?", "%s") if is_postgres else UPSERT, rows)
        database.commit()


def _postgres() -> Any:
    # Not imported at the top: without PostgreSQL nobody needs it.
    return import_module("psycopg").connect(DATABASE)
