"""What one split writes with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..exceptions import FaustGrpcError
from ..protocol import DeclaredProtocol
from ..saved import Saved
from ..types import CursorValue
from .posting import Posting
from .saved import CheckpointRecord
from .writers import SplitWriter

__all__ = ["MayWrite", "Outlet"]

MayWrite = Callable[[], bool]


@dataclass(frozen=True)
class Outlet:
    """What a split writes with. All of it is called in the source's thread, or where it may block.

    Arguments:
        protocol: makes the state machine, resumed behind a position.
        writer: makes the writer; blocks.
        saved: returns the last checkpoint; blocks.
        begin: returns where to begin when there is none. Its argument says whether there was one.
            Raises a ``HostError`` if it is lost, and a person has to say.
        recorded: told that there is one.
        record: makes the record of a checkpoint.
        posting: makes the sink that writes what is delivered.
        interval_seconds: between two commits.
        lease: whether the group still hears this worker.
        failed: told what this worker cannot go on with.
        stopped: told why only this split needs a person.
    """

    protocol: Callable[[CursorValue | None], DeclaredProtocol]
    writer: Callable[[MayWrite], SplitWriter]
    saved: Callable[[MayWrite], Saved | None]
    begin: Callable[[bool], CursorValue | None]
    recorded: Callable[[], None]
    record: Callable[[Saved], CheckpointRecord]
    posting: Callable[[SplitWriter], Posting]
    interval_seconds: float
    lease: Callable[[], bool]
    failed: Callable[[FaustGrpcError], None]
    stopped: Callable[[str], None]
