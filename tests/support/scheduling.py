"""Which tests run one after the other when ``pytest -n`` runs several at a time."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

__all__ = ["GROUPS", "ONE_FILE", "REAL_KAFKA", "Scheduling", "group"]

REAL_KAFKA = ("tests/kafka/", "tests/peers/")
#: What has a real Kafka is in three groups that take about as long; what is not named here is the
#: third. With more clusters at a time sessions of six seconds run out while a worker waits for one
#: of two processors.
GROUPS = {
    "tests/kafka/test_broker_faults.py": "faults",
    "tests/kafka/test_durable.py": "faults",
    "tests/kafka/test_faults.py": "faults",
    "tests/kafka/test_broker.py": "topics",
    "tests/kafka/test_checkpoints.py": "topics",
    "tests/kafka/test_durable_control.py": "topics",
    "tests/kafka/test_durable_writers.py": "topics",
    "tests/kafka/test_recovery_bulk.py": "topics",
    "tests/kafka/test_transactions.py": "topics",
    "tests/peers/test_etcd.py": "topics",
}
#: The tests of such a file look at the same workers, which take long to start.
ONE_FILE = ("tests/scenarios/test_newcomers.py", "tests/scenarios/test_page.py")


def group(nodeid: str) -> str:
    """Return what a test belongs to: the tests of a group run one after the other, on one worker of
    pytest's; most tests are a group of their own."""
    path = nodeid.partition("::")[0]
    if path.startswith(REAL_KAFKA):
        return GROUPS.get(path, "workers")
    return path if path in ONE_FILE else nodeid


class Scheduling(LoadScopeScheduling):
    """Large groups first: the tests that are alone fill what is left of the time."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
