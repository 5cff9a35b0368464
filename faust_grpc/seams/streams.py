"""Streams: the app's stream class is ours."""

from __future__ import annotations

from typing import Any

from faust.types import AppT
from mode.utils.imports import symbol_by_name

from ..streams import stream_class

__all__ = ["install_stream"]


def install_stream(app: AppT) -> None:
    """Make the app's streams iterate sources with our loop.

    Touches the storage of the ``Stream`` setting, because reading and then setting the setting
    itself warns; again after every configuration, because a late ``config_from_object`` makes a
    new settings object. faust-streaming 0.15.
    """
    setting: Any = type(app.conf).Stream
    chosen = symbol_by_name(getattr(app.conf, setting.storage_name))
    setattr(app.conf, setting.storage_name, stream_class(chosen))
