"""What all wire tests share."""

from __future__ import annotations

import pytest
from consuming import Kind


@pytest.fixture(params=["threaded", "aio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each reader: both must tell the same story."""
    return request.param  # type: ignore[no-any-return]  # one of the two
