"""What can go wrong, by whose fault it is.

::

    FaustGrpcError
    ├── ConfigurationError      the application author must change something
    │   ├── TargetError         a target that cannot be dialled as written
    │   ├── CredentialsError    certificates, keys or metadata that cannot work
    │   ├── SchemaError         unknown service or method, unusable descriptors
    │   └── FieldError          a field path that the message does not have
    ├── PeerError               the server, or something between, said no
    │   ├── CallFailed          a call ended and will not be tried again
    │   ├── CursorLost          the server can no longer resume from our cursor
    │   └── ReflectionFailed    the server's reflection service is missing or incomplete
    ├── DataError               one message is bad; the stream goes on
    │   ├── DecodeError         the bytes are not such a protobuf message
    │   └── ConversionError     the message does not fit the value type, key or timestamp
    └── HostError               Faust or Kafka cannot do its part
        ├── MixedTable          a table is written by a source and by something else
        └── PartitionNotOwned   a table write for a partition that this worker does not own
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CallFailed",
    "ConfigurationError",
    "ConversionError",
    "CredentialsError",
    "CursorLost",
    "DataError",
    "DecodeError",
    "FaustGrpcError",
    "Fenced",
    "FieldError",
    "HostError",
    "MixedTable",
    "PartitionNotOwned",
    "PeerError",
    "ReflectionFailed",
    "SchemaError",
    "TargetError",
    "WriteFailed",
    "nearest",
]


class FaustGrpcError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(FaustGrpcError):
    """An option is wrong.

    The text is one line: the option, what was found, and what would be right.
    """


class TargetError(ConfigurationError):
    """A target that cannot be dialled as written."""


class CredentialsError(ConfigurationError):
    """Certificates, keys or metadata that cannot work. The text never holds a secret."""


class SchemaError(ConfigurationError):
    """Unknown service or method, or descriptors that cannot be used."""


class FieldError(ConfigurationError):
    """A field path that the message type does not have."""


class PeerError(FaustGrpcError):
    """The server, or something between it and us, said no."""


class CallFailed(PeerError):
    """A call ended and will not be tried again."""


class CursorLost(PeerError):
    """The server can no longer resume from our cursor (compacted, expired, another epoch).

    Arguments:
        text: what the server said.
        resume: the position from which it still can, if it said so: with
            ``Cursor(on_lost="earliest")`` the next call resumes behind it.
    """

    def __init__(self, text: str, *, resume: int | str | bytes | None = None) -> None:
        super().__init__(text)
        self.resume = resume


class ReflectionFailed(PeerError):
    """The server's reflection service is missing, unreachable or incomplete.

    Arguments:
        retryable: whether the same question may be answered later (server down) or never
            (reflection is not switched on).
    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


class DataError(FaustGrpcError):
    """One message is bad; the stream goes on."""


class DecodeError(DataError):
    """The bytes are not a protobuf message of the expected type."""


class ConversionError(DataError):
    """A decoded message does not fit the value type, the key or the timestamp."""


class HostError(FaustGrpcError):
    """Faust or Kafka cannot do its part."""


class MixedTable(HostError):
    """A table is written by the events of a source and by something else."""


class WriteFailed(HostError):
    """The broker did not take a batch in time; nothing was lost, it is tried again."""


class Fenced(HostError):
    """Another worker took a partition over while this one believed to own it."""


class PartitionNotOwned(HostError):
    """A table write for a partition that this worker does not own (any more)."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Return a clause naming what exists: the nearest names, or all when they are few.

    Arguments:
        name: what was asked for.
        known: what exists.
        limit: names at most.

    Returns:
        ``"did you mean 'a', 'b'?"``, ``"there are: 'a', 'b'"``, or ``"there are none"``.
    """
    names = sorted(set(known))
    if not names:
        return "there are none"
    by_folded = {candidate.lower(): candidate for candidate in names}
    close = get_close_matches(name.lower(), by_folded, n=limit, cutoff=0.6)
    if close:
        return "did you mean " + ", ".join(repr(by_folded[folded]) for folded in close) + "?"
    shown = ", ".join(repr(candidate) for candidate in names[:8])
    return f"there are: {shown}" + (", …" if len(names) > 8 else "")
