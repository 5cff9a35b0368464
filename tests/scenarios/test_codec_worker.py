"""A topic and tables that carry protobuf, in a real worker on a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import OrderServer, Worker

from faust_grpc.testing import Broker

APP = Path(__file__).parent / "apps" / "codec_app.py"


def test_agents_get_messages_and_tables_are_recovered(
    mock_broker: Broker,
    order_server: OrderServer,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    worker = start_worker(
        APP,
        name="codec",
        env={
            "TOPIC_ALLOW_DECLARE": "no",
            "TOPIC_DISABLE_LEADER": "yes",
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_URL": mock_broker.url,
            "ORDERS_TARGET": order_server.target,
            "DATADIR": str(tmp_path / "data"),
        },
    )
    worker.wait_for_line(r"tables: 0 0 \[\] last=0")
    worker.wait_for_line(r"shipped Order north-0*20\b")
    worker.wait_for_line(r"regrouped Order north-0*20\b")
    worker.terminate()
    assert worker.wait() == 0, worker.log_tail()

    worker.start()
    worker.wait_for_line(r"tables: 20 20 \['Item', 'Order'\] last=20")
