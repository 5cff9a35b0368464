"""The real Kafka from pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.pids import gone

from faust_grpc.exceptions import ConfigurationError
from faust_grpc.testing import Broker, NotReady, broker, kafka_jars, wait_until

OWNER = """
import pathlib, sys, time
from faust_grpc.testing import broker
with broker("kafka", directory=pathlib.Path(sys.argv[1])) as started:
    print(started.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex}"


def read(broker: Broker, topic: str, isolation: str = "read_committed") -> list[bytes]:
    """Return what a topic holds, up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": f"group-{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values, ended = [], set()
    partitions = len(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    while len(ended) < partitions:
        message = consumer.poll(30)
        assert message is not None, "no answer"
        if message.error() is None:
            values.append(message.value())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        else:
            raise AssertionError(message.error())
    consumer.close()
    return values


def transactional(broker: Broker, name: str) -> Producer:
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": name, "log_level": 0}
    )
    producer.init_transactions(30)
    return producer


def test_carries_transactions(kafka_broker: Broker, topic: str) -> None:
    producer = transactional(kafka_broker, topic)
    for value, commit in ((b"committed", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(20)
        (producer.commit_transaction if commit else producer.abort_transaction)(20)
    wait_until(lambda: read(kafka_broker, topic) == [b"committed"], 60)
    assert sorted(read(kafka_broker, topic, "read_uncommitted")) == [b"aborted", b"committed"]
    assert kafka_broker.transactions


def test_fences_a_zombie(kafka_broker: Broker, topic: str) -> None:
    zombie = transactional(kafka_broker, topic)
    zombie.begin_transaction()
    owner = transactional(kafka_broker, topic)
    zombie.produce(topic, b"from the grave")
    with pytest.raises(KafkaException) as raised:
        zombie.commit_transaction(20)
    assert raised.value.args[0].code() == KafkaError._FENCED
    owner.begin_transaction()
    owner.produce(topic, b"alive")
    owner.commit_transaction(20)
    wait_until(lambda: read(kafka_broker, topic) == [b"alive"], 60)


def test_makes_topics_as_an_app_wants_them(kafka_broker: Broker, topic: str) -> None:
    assert kafka_broker.faust_settings() == {
        "broker": f"kafka://{kafka_broker.bootstrap}",
        "topic_partitions": 4,
    }
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap})
    producer.produce(topic, b"value")
    assert producer.flush(20) == 0
    admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap})
    assert len(admin.list_topics(topic, timeout=20).topics[topic].partitions) == 4
    other = NewTopic(f"{topic}-compacted", 2, 1, config={"cleanup.policy": "compact"})
    admin.create_topics([other])[other.topic].result(20)


def test_accepts_a_session_timeout_of_a_second(kafka_broker: Broker, topic: str) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka_broker.bootstrap,
            "group.id": topic,
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 300,
        }
    )
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap})
    producer.produce(topic, b"value")
    producer.flush(20)
    consumer.subscribe([topic])
    wait_until(lambda: consumer.poll(0.1) is None and consumer.assignment(), 20, "an assignment")
    consumer.close()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    with broker("kafka", directory=tmp_path / "kafka") as started:
        yield started


def test_keeps_its_data_over_kill_and_restart(own_broker: Broker, topic: str) -> None:
    address = own_broker.bootstrap
    producer = transactional(own_broker, topic)
    producer.begin_transaction()
    producer.produce(topic, b"before")
    producer.commit_transaction(20)
    # A commit is answered once its coordinator has decided; the marker in the topic comes later.
    wait_until(lambda: read(own_broker, topic) == [b"before"], 60)
    own_broker.kill()
    assert not own_broker.process.alive
    own_broker.restart()
    assert own_broker.bootstrap == address
    wait_until(lambda: read(own_broker, topic) == [b"before"], 60)
    producer = transactional(own_broker, topic)
    producer.begin_transaction()
    producer.produce(topic, b"after")
    producer.commit_transaction(20)
    wait_until(lambda: sorted(read(own_broker, topic)) == [b"after", b"before"], 60)


def test_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        java = int(owner.stdout.readline())
    assert not gone(java)
    owner.kill()
    owner.wait()
    wait_until(lambda: gone(java))


def test_says_why_it_does_not_start(tmp_path: Path) -> None:
    wrong = {"log.segment.bytes": "many"}
    with (
        pytest.raises(NotReady, match=r"kafka.*ended with status 1[\s\S]*log\.segment\.bytes"),
        broker("kafka", settings=wrong, directory=tmp_path),
    ):
        pass


def test_mends_a_cache_that_was_cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = kafka_jars.kafka_jars()
    home = tmp_path / f"kafka-{kafka_jars.KAFKA_VERSION}"
    # A fetch that was killed: most jars are there, no index yet, and half a file beside them.
    partial = home.with_name(home.name + ".partial")
    (partial / "repository").mkdir(parents=True)
    (partial / "repository" / "half.jar").write_bytes(b"PK")
    smallest = min(whole, key=lambda jar: jar.stat().st_size)
    for jar in whole:
        if jar != smallest:
            os.link(jar, partial / jar.name)
    monkeypatch.setenv("FAUST_GRPC_CACHE", str(tmp_path))
    fetched: list[str] = []
    # Two at once: one fetches, the other waits.
    with ThreadPoolExecutor() as pool:
        jars, same = pool.map(kafka_jars.kafka_jars, [fetched.append] * 2)
    assert jars == same
    assert [jar.name for jar in jars] == [jar.name for jar in whole]
    assert sum(".jar" in line for line in fetched) == 1
    assert not partial.exists()
    index = json.loads((home / "jars.json").read_text())
    assert index == {jar.name: jar.stat().st_size for jar in whole}
    # Complete now: nothing is fetched.
    fetched.clear()
    assert kafka_jars.kafka_jars(fetched.append) == jars
    assert fetched == []


def test_names_the_extra_that_fetching_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAUST_GRPC_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'faust-grpc\[kafka\]'"):
        kafka_jars.kafka_jars()
