"""Resume positions: read from a message, written into the next request, kept in a checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from .exceptions import ConfigurationError, ConversionError, DataError, FieldError
from .fields import getter, is_unknown_path, kind_of, setter, unknown_getter
from .types import CursorValue

__all__ = ["BoundCursor", "Cursor", "dump_cursor", "guarded", "load_cursor"]

_KINDS = {"int", "str", "bytes"}


@dataclass(frozen=True)
class Cursor:
    """Where a stream is resumed.

    Arguments:
        path: the field of a response that holds the position: ``"sequence"``,
            ``"header.revision"``, ``"events[-1].kv.mod_revision"``; a number behind ``#``,
            ``"#32767"``, for a field that the schema does not know; or a callable that takes the
            message and returns the position, or ``None`` when this message has none.
            0 and empty values count as none: a stored position is never overwritten by them.
        into: the field of the request that takes it; parents are created, a oneof is switched.
        advance: added to an integer position when it is sent back. 0 when the request is
            exclusive ("after 41"), 1 when it is inclusive ("from 42"); or a callable.
        start: the position to begin with when nothing was saved yet; ``None`` leaves the request
            as it is.
        rewind: for integer positions that are coarse, or that come a little out of order: messages
            from so many positions before the last are asked for again. ``dedupe`` drops those that
            were received.
        dedupe: what is different in every message: a field path or a callable. A message that was
            received lately, in this process, is dropped and counted.
        dedupe_window: how many of the last messages are remembered for that.
        on_lost: what happens when the server can no longer resume from the position: ``"fail"``
            stops the split and says how to go on, ``"earliest"`` and ``"latest"`` go on from the
            oldest or newest that there is; what is missing is counted as lost.
        earliest: the position that stands for the oldest that there is; ``None``: what the server
            told with the loss, or ``start``, or a request without a position.
        latest: the position that stands for the newest; ``None``: a request without a position.
    """

    path: str | Callable[[Any], CursorValue | None]
    into: str
    advance: int | Callable[[Any], CursorValue] = 0
    start: CursorValue | None = None
    rewind: int = 0
    dedupe: str | Callable[[Any], Any] | None = None
    dedupe_window: int = 10_000
    on_lost: Literal["fail", "earliest", "latest"] = "fail"
    earliest: CursorValue | None = None
    latest: CursorValue | None = None

    def __post_init__(self) -> None:
        if self.on_lost not in ("fail", "earliest", "latest"):
            raise ConfigurationError(
                f"Cursor(on_lost={self.on_lost!r}): must be 'fail', 'earliest' or 'latest'"
            )
        if self.rewind < 0 or self.dedupe_window < 1:
            raise ConfigurationError(
                f"Cursor(rewind={self.rewind}, dedupe_window={self.dedupe_window}): must not be "
                "negative, and at least 1"
            )

    def bind(self, request: Descriptor, response: Descriptor) -> BoundCursor:
        """Check the paths against the method's types and compile them.

        Raises:
            ConfigurationError: a path does not exist, cannot hold a position, or the two ends
                are of different kinds.
        """
        target = _checked_kind(request, self.into, "into")
        write = setter(request, self.into)
        if callable(self.path):
            read = guarded(self.path, "the cursor's path callable")
        elif is_unknown_path(self.path):
            read = _unknown(response, self.path, target)
        else:
            source = _checked_kind(response, self.path, "path")
            read = getter(response, self.path)
            if source != target and not callable(self.advance):
                raise ConfigurationError(
                    f"Cursor: {response.full_name}.{self.path} is {source}, but "
                    f"{request.full_name}.{self.into} is {target}; "
                    "give advance= a callable that converts"
                )
        if self.rewind and target != "int":
            raise ConfigurationError(
                f"Cursor(rewind={self.rewind}): {request.full_name}.{self.into} is {target}; only "
                "an integer can be rewound"
            )
        if not callable(self.advance) and self.advance and target != "int":
            raise ConfigurationError(
                f"Cursor(advance={self.advance!r}): {request.full_name}.{self.into} is "
                f"{target}; only an integer can be advanced by a number"
            )
        kind = None if callable(self.path) or callable(self.advance) else target
        if kind is not None:
            for option in ("start", "earliest", "latest"):
                _check_position(option, getattr(self, option), kind)
        return BoundCursor(self, kind, read, write, self._identity(response))

    def _identity(self, response: Descriptor) -> Callable[[Any], Any] | None:
        if self.dedupe is None or callable(self.dedupe):
            return guarded(self.dedupe, "the cursor's dedupe callable") if self.dedupe else None
        try:
            kind = kind_of(response, self.dedupe)
            identity = getter(response, self.dedupe)
        except FieldError as exc:
            raise FieldError(f"Cursor(dedupe={self.dedupe!r}): {exc}") from exc
        if kind in ("map", "message", "repeated"):
            raise ConfigurationError(
                f"Cursor(dedupe={self.dedupe!r}): {response.full_name}.{self.dedupe} is {kind}; "
                "name a scalar in it, or give a callable"
            )
        return identity


class BoundCursor:
    """A cursor compiled for the types of one method.

    Arguments:
        declared: the declaration.
        kind: what positions are: ``"int"``, ``"str"`` or ``"bytes"``; ``None`` when callables
            convert between the two ends.
        read: message → position or ``None``.
        write: (request, position) → sets the request's field.
        identity: message → what is different in every one; ``None``: repeats are told by position.
    """

    __slots__ = ("_write", "declared", "identity", "kind", "read")

    def __init__(
        self,
        declared: Cursor,
        kind: str | None,
        read: Callable[[Any], CursorValue | None],
        write: Callable[[Message, Any], None],
        identity: Callable[[Any], Any] | None = None,
    ) -> None:
        self.identity = identity
        self.declared = declared
        self.kind = kind
        self.read = read
        self._write = write

    def check(self, position: CursorValue, where: str) -> None:
        """Refuse a saved position that cannot be one of this cursor.

        Arguments:
            position: as it was saved, perhaps by an older declaration.
            where: names the split in the error.

        Raises:
            ConfigurationError: it is of another kind.
        """
        found = type(position).__name__
        if self.kind is not None and found != self.kind:
            raise ConfigurationError(
                f"{where}: the saved cursor {position!r} is {found}, but {self.declared.path!r} is "
                f"{self.kind}: the source was declared with another cursor when it was saved; "
                "give the source another name= to begin anew"
            )

    def after_loss(self, told: CursorValue | None) -> CursorValue | None:
        """Return where the stream goes on when the server cannot resume; ``None``: nowhere given.

        Arguments:
            told: the oldest position that is left, if the server said so.
        """
        declared = self.declared
        if declared.on_lost == "latest":
            return declared.latest
        known = (told, declared.earliest, declared.start)
        return next((position for position in known if position is not None), None)

    def resume(self, request: Message, position: CursorValue) -> Message:
        """Return a copy of the request that resumes behind a position."""
        advance = self.declared.advance
        if self.declared.rewind and isinstance(position, int):
            position = max(0, position - self.declared.rewind - 1)
        if callable(advance):
            value: Any = advance(position)
        elif advance and isinstance(position, int):
            value = position + advance
        else:
            value = position
        resumed = type(request)()
        resumed.CopyFrom(request)
        self._write(resumed, value)
        return resumed


def guarded(function: Callable[[Any], Any], what: str) -> Callable[[Any], Any]:
    """Return a user's callable whose failures count as bad data of one message.

    Arguments:
        function: takes the message.
        what: names the callable in the dead letter's reason.
    """

    def call(message: Any) -> Any:
        try:
            return function(message)
        except DataError:
            raise
        except Exception as exc:
            raise ConversionError(f"{what} raised {type(exc).__name__}: {exc}") from exc

    return call


def _checked_kind(descriptor: Descriptor, path: str, option: str) -> str:
    try:
        kind = kind_of(descriptor, path)
    except FieldError as exc:
        raise FieldError(f"Cursor({option}={path!r}): {exc}") from exc
    if kind not in _KINDS:
        raise ConfigurationError(
            f"Cursor({option}={path!r}): {descriptor.full_name}.{path} is {kind}; a position is "
            "an integer, str or bytes field"
        )
    return kind


def _unknown(descriptor: Descriptor, path: str, kind: Any) -> Callable[[Any], Any]:
    """What has no type in the schema is read as what the request takes."""
    try:
        return unknown_getter(descriptor, path, kind)
    except FieldError as exc:
        raise FieldError(f"Cursor(path={path!r}): {exc}") from exc


def _check_position(option: str, position: object, kind: str) -> None:
    found = type(position).__name__
    if position is not None and found != kind:
        raise ConfigurationError(
            f"Cursor({option}={position!r}): is {found}; the position is {kind}"
        )


def dump_cursor(position: CursorValue) -> Any:
    """Return a position as plain JSON, exactly: integers up to uint64, text, bytes."""
    if isinstance(position, bytes):
        return {"bytes": base64.b64encode(position).decode()}
    return position


def load_cursor(stored: Any) -> CursorValue:
    """Return the position that :func:`dump_cursor` made JSON of."""
    if isinstance(stored, dict):
        return base64.b64decode(stored["bytes"])
    if isinstance(stored, (int, str)):
        return stored
    raise ValueError(f"not a stored cursor: {stored!r}")
