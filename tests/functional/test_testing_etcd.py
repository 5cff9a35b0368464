"""The etcd that other tests rely on: our descriptor set fits it, and it keeps its history."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from support import Etcd
from support.etcd import FILES


def watch(etcd: Etcd, channel: grpc.Channel, **fields: Any) -> Any:
    create = etcd.message("WatchCreateRequest", key=b"\0", range_end=b"\0", **fields)
    request = etcd.message("WatchRequest", create_request=create)
    method = channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=type(etcd.message("WatchResponse")).FromString,
    )
    return method(iter([request]), timeout=30)


def test_watches_a_transaction_and_resumes_after_a_kill(etcd: Etcd) -> None:
    first = etcd.put(a="1")
    second = etcd.put(b="2", c="3")
    etcd.kill()
    etcd.start()
    assert {item.key: item.value for item in etcd.range()} == {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert [item.key for item in etcd.range("b")] == [b"b"]
    with grpc.insecure_channel(etcd.target) as channel:
        answers = watch(etcd, channel, start_revision=first + 1)
        assert next(answers).created
        events = next(answers).events
        assert [(event.kv.key, event.kv.mod_revision) for event in events] == [
            (b"b", second),
            (b"c", second),
        ]
        answers.cancel()


def test_tells_what_was_compacted(etcd: Etcd) -> None:
    for number in range(3):
        newest = etcd.put(key=str(number))
    etcd.compact(newest)
    with grpc.insecure_channel(etcd.target) as channel:
        answers = watch(etcd, channel, start_revision=1)
        assert next(answers).created
        answer = next(answers)
        assert (answer.canceled, answer.compact_revision) == (True, newest)
        answers.cancel()


def test_reports_progress(etcd: Etcd) -> None:
    revision = etcd.put(key="value")
    with grpc.insecure_channel(etcd.target) as channel:
        answers = watch(etcd, channel, progress_notify=True)
        assert next(answers).created
        answer = next(answers)
        assert (len(answer.events), answer.header.revision) == (0, revision)
        answers.cancel()


def test_descriptor_set_is_of_the_proto_file(tmp_path: Path) -> None:
    compiled = tmp_path / "etcd.binpb"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{FILES.parent}", "etcd.proto"),
            *("--include_imports", f"--descriptor_set_out={compiled}"),
        ],
        check=True,
    )
    assert FILES.read_bytes() == compiled.read_bytes()
