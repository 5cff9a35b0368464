"""Messages that were received lately: what comes again is dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exceptions import ConversionError

__all__ = ["Recent"]


class Recent:
    """The identities of the last messages, as many as are remembered.

    Arguments:
        identity: message → what is different in every one.
        window: how many are remembered.
    """

    def __init__(self, identity: Callable[[Any], Any], window: int) -> None:
        self._identity = identity
        self._window = window
        #: In the order in which they came.
        self._known: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, message: Any) -> bool:
        """Return whether a message was received lately; remember it.

        Raises:
            ConversionError: what is to tell it from others cannot be remembered.
        """
        identity = self._identity(message)
        if identity is None:
            return False
        known = self._known
        try:
            if identity in known:
                return True
        except TypeError:
            raise ConversionError(
                f"Cursor(dedupe=...): gave {type(identity).__name__}, which cannot be remembered"
            ) from None
        known[identity] = None
        if len(known) > 2 * self._window:  # in one go: taking the first of a dict gets slow
            self._known = dict.fromkeys(list(known)[-self._window :])
        return False
