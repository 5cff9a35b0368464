"""Whatever a message holds, the codec brings it back: as a message, and as the same dict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_random_messages import ALL, messages

from faust_grpc import ProtobufCodec

CLASSES = {cls.DESCRIPTOR.full_name: cls for cls in ALL}


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_messages_go_round(name: str, data: st.DataObject) -> None:
    cls = CLASSES[name]
    codec = ProtobufCodec(cls)
    message = data.draw(messages(cls))
    written = codec.dumps(message)
    # By their bytes: NaN is not equal to itself.
    assert codec.dumps(codec.loads(written)) == written


@pytest.mark.parametrize("name", CLASSES)
@given(data=st.data())
def test_dicts_go_round(name: str, data: st.DataObject) -> None:
    cls = CLASSES[name]
    codec = ProtobufCodec(cls, value_type=dict)
    value: Any = codec.loads(ProtobufCodec(cls).dumps(data.draw(messages(cls))))
    assert repr(codec.loads(codec.dumps(value))) == repr(value)
