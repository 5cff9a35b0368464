"""Clusters for the tests on a real broker."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.away import Away
from support.cluster import Cluster
from support.members import Shop
from support.orders import OrderServer

from faust_grpc.testing import Broker

#: More regions of it are more splits.
EIGHT = tuple(f"r{number}" for number in range(8))

_numbers = itertools.count(1)


@pytest.fixture
def make_cluster(
    kafka_broker: Broker,
    start_go_order_server: Callable[..., OrderServer],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Cluster]]:
    """``make_cluster(sources=..., broker=..., env=..., **options of Shop)``; 8 splits if not."""
    with ExitStack() as ending:

        def make(
            broker: Broker | None = None, env: dict[str, str] | None = None, **options: Any
        ) -> Cluster:
            number = next(_numbers)
            options.setdefault("app_id", f"shop{number}")
            options.setdefault("sources", {"orders": EIGHT})
            directory = tmp_path / f"cluster{number}"
            directory.mkdir()
            cluster = Cluster(
                broker or kafka_broker, start_go_order_server(), directory, Shop(**options), env
            )
            print(f"{request.node.name}: logs in {directory}")
            return ending.enter_context(cluster)

        yield make


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of the random faults: ``$SEED``, or always the same."""
    return int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="session")
def away(go_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    """A broker that is away for a minute, once for all tests that look at it."""
    begun = Away(go_server, tmp_path_factory.mktemp("away"))
    yield begun
    begun.close()
