"""What follows the end of a call: the next one, sooner or later, or a person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grpc import StatusCode

from ..backoff import Delays
from ..config import EndPolicy
from ..hints import Lives
from ..status import Rule, Verdict, judge
from ..types import Status
from .base import Stop, Wait

__all__ = ["Endings", "Judged"]

#: After a healthy life, calls in a row that may fail for a reason that looks permanent: a rolling
#: upgrade or a proxy in between answers NOT_FOUND or UNIMPLEMENTED for a while.
GRACE_ATTEMPTS = 6
#: A call that the server accepted and kept for so long was healthy, even if it was silent.
HEALTHY_SECONDS = 10.0

#: Their cause is known: nothing is to be guessed from how long such calls lived.
_CERTAIN = re.compile("too[_ ]many[_ ]pings", re.IGNORECASE)

_ON_END: Mapping[EndPolicy, Verdict] = {
    "reconnect": Verdict.RETRY,
    "stop": Verdict.END,
    "fail": Verdict.FATAL,
}

#: What a new declaration or another server would mend, and time may, after a healthy life.
_DOUBTFUL = {StatusCode.INVALID_ARGUMENT}


class Judged(NamedTuple):
    """What an ending means for this split, now.

    Arguments:
        verdict: what to do.
        reason: what happened, for people.
    """

    verdict: Verdict
    reason: str


class Endings:
    """Decides about the ends of a split's calls. All times are monotonic seconds.

    Arguments:
        delays: backoff between calls.
        rules: the user's own endings, asked before the built-in ones.
        on_end: what the end of the stream with status OK means.
        renews: another call has other credentials: a refused token deserves one more.
    """

    def __init__(
        self,
        delays: Delays,
        rules: Sequence[Rule] = (),
        *,
        on_end: EndPolicy = "reconnect",
        renews: bool = False,
    ) -> None:
        self._delays = delays
        self._rules = rules
        self._on_end = on_end
        self._renews = renews
        self._lives = Lives()
        #: Ends by status code, and those that were ours.
        self.counts: dict[str, int] = {}
        #: The same by status code and what it meant.
        self.verdicts: dict[tuple[str, str], int] = {}
        #: The rule that decided about the last end.
        self.rule = ""
        #: What the last calls have in common, for people.
        self.hint = ""
        self._healthy = False
        self._heard = False
        self._refused = 0
        self._opened_at: float | None = None
        self._heard_at = 0.0

    # A call's life

    def called(self) -> None:
        """A call is made."""
        self._heard = False
        self._opened_at = None

    def opened(self, now: float) -> None:
        """The server accepted it."""
        self._opened_at = self._heard_at = now

    def first(self) -> None:
        """It brought its first message: the backoff starts over."""
        self._heard = self._healthy = True
        self._refused = 0
        self._delays.reset()

    def heard(self, now: float) -> None:
        """It brought messages."""
        if self._opened_at is None:
            self._opened_at = now
        self._heard_at = now

    def again(self) -> None:
        """A person wants another try: what failed before does not count."""
        self._delays.reset()
        self._refused = 0

    # Its end

    def judge(self, status: Status, now: float) -> Judged:
        """Return what the end of a call means."""
        self.count(status.code.name)
        rule = judge(status, self._rules)
        self.rule = f"{'rules=' if self._is_users(rule) else 'built in'}: {rule}"
        reason = f"{status} ({rule.hint})" if rule.hint else str(status)
        in_common = self._look_back(status, now)
        verdict = self._weighed(rule, status)
        if status.code is StatusCode.OK and verdict is not Verdict.RETRY:
            reason = f"{reason}: the server ended the stream"
        self._count_verdict(status.code.name, verdict.name.lower())
        if in_common and verdict is Verdict.RETRY:
            reason = f"{reason} [{in_common}]"
        return Judged(verdict, reason)

    def retry(self, reason: str, now: float, *, slow: bool = False) -> Wait | Stop:
        """Return the wait for the next call, or that this was the last of those allowed."""
        delays = self._delays
        seconds = delays.slow(now) if slow else delays.next(now)
        enough = delays.exhausted(now)
        if enough:
            return Stop(f"{enough}: {reason}")
        return Wait(seconds, reason, delays.attempts)

    def ended_by_us(self, name: str, now: float) -> None:
        """We end a call: for its silence, or to make the next one.

        Arguments:
            name: to count it under.
            now: the time.
        """
        self.count(name)
        self._count_verdict("CANCELLED", name.lower())
        self.rule = ""
        self._rest(now)

    def count(self, name: str) -> None:
        """Count an end."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def _count_verdict(self, code: str, verdict: str) -> None:
        self.verdicts[code, verdict] = self.verdicts.get((code, verdict), 0) + 1

    def _weighed(self, rule: Rule, status: Status) -> Verdict:
        verdict = rule.verdict
        # The user's own word needs no second opinion; nor does what gRPC's core says of our side,
        # which no server mends. (UNAVAILABLE is what it says of the other side.)
        ours = rule.pattern and status.code is not StatusCode.UNAVAILABLE
        if self._is_users(rule) or ours:
            return verdict
        if status.code is StatusCode.OK:
            return _ON_END[self._on_end]
        if status.code is StatusCode.UNAUTHENTICATED:
            self._refused += 1
            # A token expired in a good call, or before its time; the next call has a new one.
            again = self._refused == 1 and (self._renews or self._heard)
            return Verdict.RETRY if again else verdict
        doubtful = verdict is Verdict.FATAL or status.code in _DOUBTFUL
        if doubtful and self._healthy and self._delays.attempts < GRACE_ATTEMPTS:
            return Verdict.RETRY
        return verdict

    def _is_users(self, rule: Rule) -> bool:
        return any(rule is own for own in self._rules)

    def _look_back(self, status: Status, now: float) -> str:
        in_common = ""
        if self._opened_at is not None and not _CERTAIN.search(status.details):
            silence = now - max(self._heard_at, self._opened_at)
            in_common = self._lives.ended(now - self._opened_at, silence)
            self.hint = in_common or self.hint
        self._rest(now)
        return in_common

    def _rest(self, now: float) -> None:
        if self._opened_at is not None and now - self._opened_at >= HEALTHY_SECONDS:
            self._healthy = True
            if not self._heard:
                self._delays.reset()
        self._opened_at = None
