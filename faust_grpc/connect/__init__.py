"""A Kafka Connect connector's configuration → the declaration of a source that does its work."""

from __future__ import annotations

from .options import FRAMEWORK, OPTIONS, Option
from .reading import Connector, read_connector
from .text import module_text
from .translation import Note, Translation, translate

__all__ = [
    "FRAMEWORK",
    "OPTIONS",
    "Connector",
    "Note",
    "Option",
    "Translation",
    "module_text",
    "read_connector",
    "translate",
]
