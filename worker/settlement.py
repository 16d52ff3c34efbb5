"""The settlement: what is done with a delivery, given what happened to it. One function, one table."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from eventstore import (
    ConflictError,
    IdempotencyKeyReused,
    InvalidRequest,
    OutcomeUnknown,
    PositionNotReached,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from worker.errors import DeadlineExceeded, IsolationFailed, KilledItsProcess
from worker.history import History
from worker.message import BadMessage
from worker.rounds.processor import Processed

__all__ = ["Action", "FailedElsewhere", "Failure", "FailureVerdict", "Settlement", "judge", "settle"]

_BUG_RETRIES = 2


class Action(StrEnum):
    """What to do with a delivery."""

    ANSWER = "answer"
    """Reply if asked, then acknowledge."""
    RETRY = "retry"
    """Send it on to the retry queue, then acknowledge."""
    DEAD_LETTER = "dead_letter"
    """Send it on to the dead letters with its reason, reply if asked, then acknowledge."""
    PAUSE = "pause"
    """Keep it, and all others, until the database answers again; then process it again. Nobody's attempt is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureVerdict:
    """What is to be done about a failure, as long as its message's history does not say otherwise.

    Attributes:
        action: What to do.
        reason: The machine-readable reason.
        bug: Whether the failure is in our code or a handler's.
    """

    action: Action
    reason: str
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What was raised in another process, and what is to be done about it.

    Attributes:
        verdict: The latter.
        kind: The former's type.
        text: Its text.
        where: The same in a few words, without its text.
        traceback: Where it came from.
    """

    verdict: FailureVerdict
    kind: str
    text: str
    where: str
    traceback: str


class FailedElsewhere(Exception):
    """Stands for what was raised in another process, where it was judged.

    Attributes:
        failure: What that was.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What to do with a delivery, and what to say about it.

    Attributes:
        action: What to do.
        history: The history that the message carries on, if it is sent on.
        reason: The machine-readable reason, for anything but an answer.
        traceback: Whether a person needs the traceback, because the failure is in our code or a handler's.
    """

    action: Action
    history: History
    reason: str | None = None
    traceback: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    failures: tuple[type[BaseException], ...]
    action: Action
    reason: Callable[[BaseException], str]
    bug: bool = False


def _named(reason: str) -> Callable[[BaseException], str]:
    return lambda _: reason


def _own_code(failure: BaseException) -> str:
    return failure.code if isinstance(failure, BadMessage) else type(failure).__name__


# The first rule that fits decides.
_RULES = (
    _Rule((BadMessage,), Action.DEAD_LETTER, _own_code),
    _Rule((IdempotencyKeyReused,), Action.DEAD_LETTER, _named("id_reused")),
    _Rule((InvalidRequest,), Action.DEAD_LETTER, _named("not_storable")),
    _Rule((ConflictError,), Action.RETRY, _named("conflicts_exhausted")),
    _Rule((TransientStoreError, PositionNotReached), Action.RETRY, _named("store_transient")),
    _Rule((DeadlineExceeded,), Action.RETRY, _named("handler_deadline")),
    _Rule((KilledItsProcess,), Action.DEAD_LETTER, _named("killed_its_process")),
    _Rule((IsolationFailed,), Action.RETRY, _named("isolation_failed")),
    # A store that turns out misconfigured while we run has changed under us: no command is to blame.
    _Rule((StoreUnavailable, OutcomeUnknown, StoreMisconfigured), Action.PAUSE, _named("store_unavailable")),
    _Rule((Exception,), Action.RETRY, _named("handler_error"), bug=True),
)
_DEFAULT = _Rule((BaseException,), Action.DEAD_LETTER, _named("unknown_failure"), bug=True)


def judge(failure: BaseException) -> FailureVerdict:
    """Decide what is to be done about a failure, its message's history aside."""
    if isinstance(failure, FailedElsewhere):
        return failure.failure.verdict
    rule = next((rule for rule in _RULES if isinstance(failure, rule.failures)), _DEFAULT)
    return FailureVerdict(action=rule.action, reason=rule.reason(failure), bug=rule.bug)


def settle(happened: Processed | BaseException, history: History, *, now: datetime, max_age: timedelta) -> Settlement:
    """Decide what is done with a delivery.

    Args:
        happened: The answer, or what processing raised.
        history: What the message went through before.
        now: The present time.
        max_age: How long after its first failure a message is no longer retried.
    """
    if isinstance(happened, Processed):
        return Settlement(action=Action.ANSWER, history=history)
    verdict = judge(happened)
    if verdict.action is Action.PAUSE:
        return Settlement(action=Action.PAUSE, reason=verdict.reason, history=history)
    failed = history.failed(now, bug=verdict.bug)
    spent = failed.bugs > _BUG_RETRIES if verdict.bug else failed.age(now) >= max_age
    action = Action.DEAD_LETTER if verdict.action is Action.DEAD_LETTER or spent else Action.RETRY
    return Settlement(action=action, reason=verdict.reason, history=failed, traceback=verdict.bug)
