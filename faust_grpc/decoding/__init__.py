"""Decoding: raw bytes → message → events with value, key and timestamp."""

from __future__ import annotations

from .base import Decoder
from .build import build_decoder, message_decoder
from .explode import ExplodeOption, SkipOption
from .headers import HeadersOption
from .protojson import ProtoJson

__all__ = [
    "Decoder",
    "ExplodeOption",
    "HeadersOption",
    "ProtoJson",
    "SkipOption",
    "build_decoder",
    "message_decoder",
]
