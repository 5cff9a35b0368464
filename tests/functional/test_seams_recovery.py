"""Private parts of Faust's recovery: these tests fail when Faust changes them."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError
from faust.sensors.base import Sensor
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types.tuples import TP

from faust_grpc import seams
from faust_grpc.seams.recovery import MARKER_SECONDS, LoadedRecovery
from faust_grpc.testing import eventually

ONE, TWO, STANDBY, GONE = (TP("changelog", number) for number in range(4))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[faust.App]:
    made = faust.App(
        "recovery", broker="kafka://127.0.0.1:1", store="memory://", datadir=str(tmp_path)
    )
    yield made
    thread = getattr(made._consumer, "_thread", None)
    if thread is not None:  # Faust makes its loop also when it is never started
        thread.thread_loop.close()


class Loading:
    """Loads as it is told to."""

    def __init__(self, load: Callable[[Mapping[TP, Any]], Awaitable[dict[TP, int]]]) -> None:
        self._load = load

    async def __call__(self, tables: Mapping[TP, Any]) -> dict[TP, int]:
        return await self._load(tables)

    def remaining(self) -> dict[TP, int]:
        return {ONE: 7}


async def nothing(tables: Mapping[TP, Any]) -> dict[TP, int]:
    return {}


def installed(app: faust.App, load: Any = nothing) -> Any:
    seams.install_recovery(app, Loading(load))
    return app.tables.recovery  # type: ignore[attr-defined]


class Offsets:
    """Answers as Faust's consumer does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[TP, ...]] = []
        self.positions: dict[TP, int | None] = {}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        self.asked.append(tps)
        return dict.fromkeys(tps, 100)

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        self.asked.append(tps)
        return dict.fromkeys(tps, 10)

    async def position(self, tp: TP) -> int | None:
        if tp not in self.positions:
            raise IllegalStateError(f"{tp} is not assigned")
        return self.positions[tp]


def test_the_recovery_of_an_app_is_ours(app: faust.App) -> None:
    assert seams.installed_load(app) is None
    recovery = installed(app)
    assert type(recovery) is LoadedRecovery
    other = Loading(nothing)
    seams.install_recovery(app, other)
    assert app.tables.recovery is recovery  # type: ignore[attr-defined]
    assert seams.installed_load(app) is other


async def test_what_is_loaded_faust_takes_as_read(app: faust.App) -> None:
    table = app.Table("counts")
    loaded: list[Any] = []

    async def load(tables: Mapping[TP, Any]) -> dict[TP, int]:
        loaded.append(dict(tables))
        return {ONE: 57}

    recovery = installed(app, load)
    consumer = Offsets()
    for tp in (ONE, TWO):
        recovery.add_active(table, tp)
    offsets, highwaters = recovery.active_offsets, recovery.active_highwaters

    await recovery._build_highwaters(consumer, {ONE, TWO}, highwaters, "active")
    await recovery._build_offsets(consumer, {ONE, TWO}, offsets, "active")

    assert loaded == [{ONE: table, TWO: table}]
    assert consumer.asked == [(TWO,), (TWO,)]
    assert (highwaters, offsets) == ({ONE: 56, TWO: 99}, {ONE: 56, TWO: 9})
    assert recovery.active_remaining() == {ONE: 0, TWO: 90}

    standby: Counter[TP] = Counter()
    await recovery._build_highwaters(consumer, {STANDBY}, standby, "standby")
    assert standby == {STANDBY: 99}
    assert len(loaded) == 1


async def test_when_all_is_loaded_faust_asks_nothing(app: faust.App) -> None:
    async def load(tables: Mapping[TP, Any]) -> dict[TP, int]:
        return dict.fromkeys(tables, 0)

    recovery = installed(app, load)
    consumer = Offsets()
    recovery.add_active(app.Table("counts"), ONE)
    await recovery._build_highwaters(consumer, {ONE}, recovery.active_highwaters, "active")
    await recovery._build_offsets(consumer, {ONE}, recovery.active_offsets, "active")
    assert consumer.asked == []
    assert not recovery.need_recovery()


class Ended(Sensor):
    """Counts the rebalances that ended."""

    count = 0

    def on_rebalance_start(self, app: Any) -> dict[str, Any]:
        return {}

    def on_rebalance_end(self, app: Any, state: Any) -> None:
        self.count += 1


@pytest.mark.parametrize("again", [False, True])
async def test_a_recovery_ends_only_its_own_rebalance(app: faust.App, again: bool) -> None:
    """The next one begins in its last step: Faust would take that for ended, and forget to tell
    when it really ends."""
    recovery, ended = installed(app), Ended()
    app.sensors.add(ended)
    app.on_rebalance_start()
    app.consumer_generation_id = 5
    await recovery.on_rebalance(set(), set(), set(), 5)

    def resume_flow() -> None:
        if again:
            app.on_rebalance_start()

    async def maybe_start() -> None:
        pass

    app._consumer = SimpleNamespace(
        assignment=set, resume_partitions=lambda tps: None, resume_flow=resume_flow
    )
    app._fetcher = SimpleNamespace(maybe_start=maybe_start)
    app.assignor = SimpleNamespace(assigned_standbys=set, assigned_actives=set)
    await recovery.on_recovery_completed(5)
    assert app.rebalancing is again
    assert ended.count == (0 if again else 1)
    if again:
        app.consumer_generation_id = 6
        await recovery.on_rebalance(set(), set(), set(), 6)
        again = False
        await recovery.on_recovery_completed(6)
        assert not app.rebalancing
        assert ended.count == 1
    app._consumer = None


def test_faust_still_asks_in_this_order() -> None:
    """The load is in the first step that needs the broker."""
    source = inspect.getsource(Recovery._restart_recovery.fun)
    steps = ["flush_buffers", "_build_highwaters", "_build_offsets", "_seek_offsets"]
    places = [source.index(f"self.{step})") for step in steps]
    assert places == sorted(places)
    assert "timeout=self.app.conf.broker_request_timeout" in source


async def test_a_load_may_take_longer_than_a_request(app: faust.App) -> None:
    may_end = asyncio.Event()

    async def load(tables: Mapping[TP, Any]) -> dict[TP, int]:
        await may_end.wait()
        return {ONE: 1}

    recovery = installed(app, load)
    recovery.add_active(app.Table("counts"), ONE)
    step = recovery._build_highwaters(Offsets(), {ONE}, recovery.active_highwaters, "active")
    waiting = asyncio.ensure_future(recovery._wait(step, timeout=0.01))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    assert recovery.need_recovery()
    assert recovery.active_remaining() == {ONE: 7}
    may_end.set()
    await asyncio.wait_for(waiting, 10)
    assert recovery.active_highwaters == {ONE: 0}
    assert recovery.active_remaining() == {}
    assert not recovery.need_recovery()


async def test_a_rebalance_cancels_a_load(app: faust.App) -> None:
    cancelled = asyncio.Event()

    async def load(tables: Mapping[TP, Any]) -> dict[TP, int]:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return {}

    recovery = installed(app, load)
    step = recovery._build_highwaters(Offsets(), {ONE}, recovery.active_highwaters, "active")
    recovery.add_active(app.Table("counts"), ONE)
    waiting = asyncio.ensure_future(recovery._wait(step, timeout=0.01))
    await eventually(lambda: recovery._is_loading)
    recovery.signal_recovery_start.set()
    with pytest.raises(RebalanceAgain):
        await waiting
    await asyncio.wait_for(cancelled.wait(), 10)
    assert not recovery._is_loading


async def test_other_steps_keep_faust_s_limit_and_their_errors(app: faust.App) -> None:
    async def fail() -> None:
        raise ConnectionError("as it was")

    recovery = installed(app)
    with pytest.raises(ServiceStopped):
        await recovery._wait(asyncio.sleep(60), timeout=0.01)
    with pytest.raises(ConnectionError, match="as it was"):
        await recovery._wait(fail(), timeout=10)
    with pytest.raises(ConnectionError, match="as it was"):
        await recovery._wait(fail())


async def test_markers_at_the_end_of_a_log_do_not_hold_recovery_up(
    app: faust.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Active and standby; a partition whose records are on their way is not passed."""
    assert MARKER_SECONDS <= 1
    monkeypatch.setattr("faust_grpc.seams.recovery.MARKER_SECONDS", 0.01)
    recovery = installed(app)
    consumer: Any = Offsets()
    app.consumer = consumer
    table = app.Table("counts")
    for tp in (ONE, TWO, GONE):
        recovery.add_active(table, tp)
    recovery.add_standby(table, STANDBY)
    recovery.active_offsets = Counter({GONE: 50, ONE: 97, TWO: 50})
    recovery.active_highwaters = Counter({GONE: 99, ONE: 99, TWO: 99})
    recovery.standby_offsets = Counter({STANDBY: -1})
    recovery.standby_highwaters = Counter({STANDBY: 99})
    consumer.positions = {ONE: 100, TWO: 60, STANDBY: 100}
    recovery.in_recovery = True
    ready: list[str] = []
    app.tables.on_standbys_ready = lambda: ready.append("standbys")  # type: ignore[method-assign]

    passing = asyncio.ensure_future(recovery._pass_markers.fun(recovery))
    try:
        await eventually(lambda: ready)
        assert recovery.active_offsets == {GONE: 50, ONE: 99, TWO: 50}
        assert recovery.standby_offsets == {STANDBY: 99}
    finally:
        passing.cancel()
    source = inspect.getsource(Recovery._slurp_changelogs.fun)
    assert "_maybe_signal_recovery_end(" in source  # looks at the offsets when nothing comes


async def test_the_consumer_reads_committed_records_only(app: faust.App) -> None:
    assert callable(AIOKafkaConsumerThread._create_worker_consumer)
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    seams.read_committed(app)
    consumer = thread._create_worker_consumer(
        SimpleNamespace(url=app.conf.broker_consumer, default_port=9092)
    )
    assert consumer._isolation_level == "read_committed"
    await consumer.stop()
    assert "_isolation_level" in inspect.getsource(AIOKafkaConsumer.start)
