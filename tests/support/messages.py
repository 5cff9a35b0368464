"""Messages of the small .proto files in ``tests/data``, out of pools of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from faust_grpc.schema import DescriptorSet, Method

DATA = Path(__file__).parents[1] / "data"
SETS = DATA / "sets"
#: Per file of ``msgs/``: its set, its type, and what it holds, or why it holds nothing.
CASES: dict[str, dict[str, Any]] = json.loads((DATA / "messages.json").read_text())


def message_class(set_name: str, full_name: str) -> Any:
    """Return a message class of ``sets/<set_name>.binpb``."""
    pool = DescriptorSet(SETS / f"{set_name}.binpb").pool
    return GetMessageClass(pool.FindMessageTypeByName(full_name))


def case_class(name: str) -> Any:
    """Return the message class of a case."""
    case = CASES[name]
    return message_class(case["set"].removesuffix(".binpb"), case["type"])


def case_bytes(name: str) -> bytes:
    """Return the bytes of a case."""
    return (DATA / "msgs" / f"{name}.bin").read_bytes()


def streaming(response_class: Any) -> Method:
    """Return a server-streaming method with such responses."""
    return Method("tests.Service/Watch", response_class, response_class, False, True)
