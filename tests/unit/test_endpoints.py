from __future__ import annotations

from faust_grpc.endpoints import SET_ASIDE_SECONDS, Endpoints


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_failover_takes_the_first_that_can_be_reached() -> None:
    clock = Clock()
    endpoints = Endpoints(3, "failover", clock)
    assert [endpoints.pick() for _ in range(3)] == [0, 0, 0]
    endpoints.report(0, reached=False)
    assert endpoints.pick() == 1
    endpoints.report(1, reached=False)
    assert endpoints.pick() == 2
    endpoints.report(0, reached=True)
    assert endpoints.pick() == 0


def test_one_that_was_passed_over_gets_another_try() -> None:
    clock = Clock()
    endpoints = Endpoints(2, "failover", clock)
    endpoints.report(0, reached=False)
    clock.now += SET_ASIDE_SECONDS - 1
    assert endpoints.pick() == 1
    clock.now += 1
    assert endpoints.pick() == 0


def test_none_can_be_reached() -> None:
    clock = Clock()
    endpoints = Endpoints(2, "failover", clock)
    picked = []
    for _ in range(4):
        picked.append(number := endpoints.pick())
        clock.now += 1
        endpoints.report(number, reached=False)
    assert picked == [0, 1, 0, 1]


def test_round_robin_takes_each_in_turn() -> None:
    endpoints = Endpoints(3, "round_robin", Clock())
    assert [endpoints.pick() for _ in range(5)] == [0, 1, 2, 0, 1]
    endpoints.report(0, reached=False)
    assert [endpoints.pick() for _ in range(4)] == [2, 1, 2, 1]


def test_a_single_one_is_always_taken() -> None:
    endpoints = Endpoints(1, "round_robin", Clock())
    endpoints.report(0, reached=False)
    assert endpoints.pick() == 0
