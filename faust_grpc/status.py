"""What an ended call means: try again, give up, or the cursor is lost. A pure decision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from grpc import StatusCode

from .types import Status

__all__ = ["BUILT_IN_RULES", "Rule", "Verdict", "judge"]


class Verdict(Enum):
    """What to do about an ended call."""

    #: Open the next call after a delay.
    RETRY = "retry"
    #: The same, after a longer delay: the server is at a limit.
    SLOW = "slow"
    #: The stream is over; nobody has to act.
    END = "end"
    #: No call of ours will do better: a person has to act.
    FATAL = "fatal"
    #: The server can no longer resume from our cursor.
    CURSOR_LOST = "cursor lost"
    #: The next message cannot be received: asked for once more, then it is a bad message.
    POISON = "poison"


@dataclass(frozen=True)
class Rule:
    """One line of the table of endings; the first that matches decides.

    A status code alone cannot classify: one code stands for permanent and transient faults, told
    apart by the details only.

    Arguments:
        code: the status code, ``None`` for any.
        verdict: what to do.
        pattern: regular expression searched in the details, case-insensitively.
        hint: what would help, for people.
    """

    code: StatusCode | None
    verdict: Verdict
    pattern: str = ""
    hint: str = ""

    def __str__(self) -> str:
        code = self.code.name if self.code is not None else "any status"
        pattern = f" {self.pattern!r}" if self.pattern else ""
        return f"{code}{pattern}: {self.verdict.value}"

    def matches(self, status: Status) -> bool:
        """Return whether this rule speaks of such an ending."""
        if self.code is not None and self.code is not status.code:
            return False
        return (
            not self.pattern or re.search(self.pattern, status.details, re.IGNORECASE) is not None
        )


#: The endings that gRPC's own core words itself come before the bare codes.
BUILT_IN_RULES: tuple[Rule, ...] = (
    Rule(
        StatusCode.RESOURCE_EXHAUSTED,
        Verdict.POISON,
        "received message larger than max",
        "raise Buffer(message_size_bytes=...), or leave it None for no limit",
    ),
    Rule(
        StatusCode.RESOURCE_EXHAUSTED,
        Verdict.RETRY,
        "metadata size exceeds",
        "the server's error text is too long for a header; its real status is hidden",
    ),
    Rule(
        StatusCode.INTERNAL,
        Verdict.FATAL,
        "invalid metadata",
        "a metadata name or value has characters that HTTP/2 does not allow",
    ),
    Rule(
        StatusCode.UNAVAILABLE,
        Verdict.FATAL,
        "missing selected ALPN property",
        "no gRPC server, or something before it that speaks no HTTP/2",
    ),
    Rule(StatusCode.INTERNAL, Verdict.FATAL, "error parsing 'grpc-encoding'"),
    Rule(StatusCode.INTERNAL, Verdict.POISON, "decompress"),
    Rule(StatusCode.INTERNAL, Verdict.POISON, "compression bit set"),
    Rule(
        StatusCode.INTERNAL,
        Verdict.RETRY,
        "lagged",
        "this reader is too slow for the server: an overflow policy in Buffer(), agents that take "
        "batches, or more splits",
    ),
    Rule(StatusCode.INVALID_ARGUMENT, Verdict.CURSOR_LOST, hint="the server refuses the request"),
    Rule(StatusCode.NOT_FOUND, Verdict.FATAL, hint="the server does not know what is asked for"),
    Rule(StatusCode.ALREADY_EXISTS, Verdict.FATAL),
    Rule(StatusCode.PERMISSION_DENIED, Verdict.FATAL, hint="check metadata= or certificates"),
    Rule(StatusCode.UNAUTHENTICATED, Verdict.FATAL, hint="check metadata= (a token?)"),
    Rule(StatusCode.UNIMPLEMENTED, Verdict.FATAL, hint="the server does not have this method"),
    Rule(StatusCode.DATA_LOSS, Verdict.FATAL, hint="the server lost data it had promised"),
    Rule(StatusCode.OUT_OF_RANGE, Verdict.CURSOR_LOST),
    Rule(StatusCode.FAILED_PRECONDITION, Verdict.CURSOR_LOST),
    Rule(StatusCode.RESOURCE_EXHAUSTED, Verdict.SLOW),
)

#: Everything else: UNAVAILABLE, INTERNAL, UNKNOWN, ABORTED, DEADLINE_EXCEEDED, a CANCELLED that is
#: not ours, and OK (streams that never end do end).
_OTHERWISE = Rule(None, Verdict.RETRY)


def judge(status: Status, rules: Sequence[Rule] = ()) -> Rule:
    """Return the rule that decides about an ended call.

    Arguments:
        status: how the call ended.
        rules: the user's own rules; they are asked before the built-in ones.
    """
    for rule in (*rules, *BUILT_IN_RULES):
        if rule.matches(status):
            return rule
    return _OTHERWISE
