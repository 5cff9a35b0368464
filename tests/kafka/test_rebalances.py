"""Ten faults in random order on two and three workers, while the server dies twenty times."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from support.cluster import Cluster, ServerKiller

NAMES = ("w1", "w2", "w3")


def plan(seed: int, faults: int = 10) -> Iterator[tuple[str, str]]:
    """Yield faults as (kind, worker): two workers run at first, at least one always does."""
    chosen = random.Random(seed)
    running = ["w1", "w2"]
    yield "start", "w3"
    running.append("w3")
    for _ in range(faults - 1):
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
    print(f"seed {seed}: {' '.join(f'{kind}:{name}' for kind, name in plan(seed))}")
    cluster.start("w1", "w2")
    cluster.wait_settled()
    with ServerKiller(cluster, times=20, between=(1.5, 6.0), seed=seed) as killer:
        for kind, name in plan(seed):
            getattr(cluster, kind)(name)
            cluster.wait_settled(seconds=1.0)
        killer.finish(timeout=180)
    cluster.wait_settled()
    cluster.stop(*cluster.running)

    judgement = cluster.judge()
    overlaps = cluster.overlaps()
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0, "stopped in order: every processed order is below a checkpoint"
    assert all(split.highest > 1000 for split in judgement.splits.values())
    assert overlaps == []
