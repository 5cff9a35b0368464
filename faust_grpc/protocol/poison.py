"""Messages that cannot be used: which of them end a split, and which is never read twice."""

from __future__ import annotations

from enum import Enum

from ..config import PoisonPolicy
from ..exceptions import DataError
from ..types import CursorValue

__all__ = ["Poison", "Step"]


class Step(Enum):
    """What to do about a message that cannot be received: gRPC ends the call for it."""

    #: Ask once more: it may have been the wire.
    RETRY = "retry"
    #: Keep a dead letter and ask for what comes behind the next position.
    SKIP = "skip"
    #: Keep a dead letter and wait for a person.
    HALT = "halt"


class Poison:
    """Remembers the bad messages of one split.

    Arguments:
        policy: what follows once a bad message is kept as a dead letter.
    """

    def __init__(self, policy: PoisonPolicy = "skip") -> None:
        self._policy = policy
        #: The bad message that the split halted on, and the one that a person wants passed over.
        self._halted_on: bytes | None = None
        self._passed_over: bytes | None = None
        #: Where the last call ended for a message that cannot be received.
        self._stumbled_at: CursorValue | None = None
        self._stumbled = self._stepped = False

    # Bytes that are no such message, or that do not fit the options

    def halts(self, raw: bytes) -> bool:
        """Return whether a bad message ends the split; remember it."""
        if self._policy == "skip":
            return False
        if raw == self._passed_over:
            return False
        self._halted_on = raw
        return True

    def is_known(self, raw: bytes) -> bool:
        """Return whether a person said to pass over this message, which was kept when it halted."""
        return raw == self._passed_over

    # Messages that gRPC ends the call for

    def stumbled(self, where: CursorValue | None, *, can_step: bool) -> Step:
        """Return what to do: a call ended for its next message.

        Arguments:
            where: the position behind which that message is; of a stream without positions, how
                many messages the call had brought.
            can_step: the next position can be told from this one.
        """
        again = self._stumbled and where == self._stumbled_at
        self._stumbled, self._stumbled_at = True, where
        if not again:
            return Step.RETRY
        self._stumbled = False
        if self._policy == "halt" or self._stepped or not can_step:
            self._stepped = False
            return Step.HALT
        self._stepped = True
        return Step.SKIP

    def heard(self) -> None:
        """A call brought a message: what it stumbles over next is another one."""
        self._stepped = False

    # A person's word

    def skip(self) -> None:
        """Pass over the message that the split halted on.

        Raises:
            DataError: it did not halt on one whose bytes are known.
        """
        if self._halted_on is None:
            raise DataError("the split did not halt on a bad message that could be passed over")
        self._passed_over, self._halted_on = self._halted_on, None

    def retry(self) -> None:
        """Read it again."""
        self._halted_on = None
        self._stumbled = False
