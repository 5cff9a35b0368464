"""The order service of the demo and of tests; ``python -m faust_grpc.testing.orders`` runs it.

It serves ``shop.v1.OrderService`` (examples/orders/orders.proto) with server reflection, and the
same orders as the server in Go (examples/orders/server).
"""

from __future__ import annotations

from .history import FILES, OrderHistory, order_message
from .records import CallLog, Progress
from .service import OrderService

__all__ = ["FILES", "CallLog", "OrderHistory", "OrderService", "Progress", "order_message"]
