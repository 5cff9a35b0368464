"""Which tests run one after the other when ``pytest -n`` runs several at a time."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

__all__ = ["Scheduling", "group"]

#: What has a real Kafka is in two groups that take about as long: more clusters at a time, and
#: sessions of six seconds run out while a worker waits for a processor of two.
REAL_KAFKA = ("tests/kafka/", "tests/peers/")
FAULTS = {f"tests/kafka/test_{name}.py" for name in ("faults", "broker_faults", "durable")}
#: Its tests look at the same workers, which take long to start.
ONE_FILE = "tests/scenarios/test_newcomers.py"


def group(nodeid: str) -> str:
    """Return what a test belongs to: the tests of a group run one after the other, on one worker of
    pytest's; most tests are a group of their own."""
    path = nodeid.partition("::")[0]
    if path.startswith(REAL_KAFKA):
        return "faults on Kafka" if path in FAULTS else "Kafka"
    return path if path == ONE_FILE else nodeid


class Scheduling(LoadScopeScheduling):
    """Large groups first, so that the others fill what is left of the time."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
