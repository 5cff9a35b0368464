"""What the package asks a broker about itself."""

from __future__ import annotations

import pytest

from faust_grpc.exceptions import ConfigurationError
from faust_grpc.kafka import check_transactions, is_mock
from faust_grpc.testing import Broker


def test_a_mock_broker_is_recognized(mock_broker: Broker) -> None:
    options = {"bootstrap.servers": mock_broker.bootstrap}
    assert is_mock(options)
    with pytest.raises(ConfigurationError, match=r"^orders: delivery='exactly_once' on a mock "):
        check_transactions(options, "orders")
