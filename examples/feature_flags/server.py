"""The flag service: all flags, then a change now and then."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faust_grpc.testing.service import serve

SECONDS = float(os.environ.get("FEATURE_FLAGS_SECONDS", "2"))
NAMES = ("new-checkout", "dark-mode", "express-delivery", "gift-cards")


def flags(request: Any) -> Iterator[dict[str, Any]]:
    """Yield what there is, then what changes."""
    yield {"snapshot_begin": {}}
    for name in NAMES:
        yield {"flag": {"name": name, "enabled": True, "percent": 0}}
    yield {"snapshot_end": {}}
    for step in itertools.count(1):
        time.sleep(SECONDS)
        # Each flag is rolled out in steps of 10 %; one comes and goes.
        name = NAMES[step % len(NAMES)]
        percent = step // len(NAMES) * 10 % 110
        yield {"flag": {"name": name, "enabled": True, "percent": percent}}
        yield {"flag": {"name": "beta-banner", "enabled": True, "percent": 100}}
        if step % 2:
            yield {"flag": {"name": "beta-banner", "deleted": True}}


if __name__ == "__main__":
    serve(
        Path(__file__).with_name("feature_flags.binpb"),
        {"flags.v1.FlagService/WatchFlags": flags},
    )
