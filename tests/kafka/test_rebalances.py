"""Ten faults in random order on two and three workers, while the server dies twenty times."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from support.cluster import Cluster, ServerKiller

NAMES = ("w1", "w2", "w3")


def plan(chosen: random.Random, faults: int, running: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield faults as (kind, worker), so that at least one worker always runs."""
    running = [*running]
    for _ in range(faults):
        kinds = ["stop", "kill"] if len(running) > 1 else []
        kinds += ["start", "start"] if len(running) < len(NAMES) else []
        kind = chosen.choice(kinds)
        if kind == "start":
            name = chosen.choice([name for name in NAMES if name not in running])
            running.append(name)
        else:
            name = chosen.choice(running)
            running.remove(name)
        yield kind, name


@pytest.mark.timeout(420)
def test_ten_faults_in_random_order(make_cluster: Callable[..., Cluster], seed: int) -> None:
    """Nothing is lost, no table is behind its checkpoint, and every split has one reader."""
    cluster = make_cluster()
    faults = [("start", "w3"), *plan(random.Random(seed), 9, NAMES)]
    print(f"seed {seed}: {' '.join(f'{kind}:{name}' for kind, name in faults)}")
    cluster.start("w1", "w2")
    cluster.wait_settled()
    with ServerKiller(cluster, times=20, between=(1.5, 6.0), seed=seed) as killer:
        for kind, name in faults:
            getattr(cluster, kind)(name)
            cluster.wait_settled(seconds=1.0)
        killer.finish(timeout=180)
    finish(cluster)


@pytest.mark.timeout(420)
def test_faults_during_rebalances(make_cluster: Callable[..., Cluster], seed: int) -> None:
    """Each fault comes a few orders after the one before: recoveries are interrupted, workers are
    ended before they were ready."""
    cluster = make_cluster()
    chosen = random.Random(seed)
    faults = list(plan(chosen, 16, ["w1", "w2"]))
    print(f"seed {seed}: {' '.join(f'{kind}:{name}' for kind, name in faults)}")
    cluster.start("w1", "w2")
    cluster.wait_settled()
    for kind, name in faults:
        if kind == "stop":
            cluster.stop(name, ready=False)
        else:
            getattr(cluster, kind)(name)
        goal = sum(cluster.reached().values()) + chosen.randrange(2000)
        cluster.wait(lambda goal=goal: sum(cluster.reached().values()) > goal, 90, "some orders")
    finish(cluster)


def finish(cluster: Cluster) -> None:
    """Stop all workers in order, and judge."""
    cluster.wait_settled()
    cluster.stop(*cluster.running)
    judgement = cluster.judge()
    overlaps = cluster.overlaps()
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0, "stopped in order: every processed order is below a checkpoint"
    assert all(split.highest > 1000 for split in judgement.splits.values())
    assert overlaps == []
