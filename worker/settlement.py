"""The settlement: what is done with a delivery, given what happened to it. One function, one table."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from eventstore import (
    ConflictError,
    EventStoreError,
    HistoryArchived,
    IdempotencyKeyReused,
    InvalidRequest,
    OutcomeUnknown,
    PositionNotReached,
    Receipt,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from handlers.errors import NewerEvent
from worker.errors import HandlerTimedOut, IsolationFailed, KilledItsProcess, WorkerError
from worker.history import History
from worker.message import BadMessage

__all__ = [
    "Action",
    "Answer",
    "DeadLetter",
    "FailedElsewhere",
    "Failure",
    "FailureVerdict",
    "Pause",
    "Retry",
    "Settlement",
    "judge",
    "settle",
]

_BUG_RETRIES = 2


class Action(StrEnum):
    """What is done about a failure, as long as its message's history does not say otherwise."""

    RETRY = "retry"
    """Send the message on to the retry queue, then acknowledge."""
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
        text: Its text.
        headline: Its type, and the line of the domain's code that led to it.
        where: The same for a log, which tells no text.
        traceback: Where it came from.
    """

    verdict: FailureVerdict
    text: str
    headline: str
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


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The command has its answer: reply if asked, then acknowledge.

    Attributes:
        receipt: The answer, as it is on record.
        attempts: How often it was decided now.
    """

    receipt: Receipt
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send it on to the retry queue, then acknowledge.

    Attributes:
        reason: The machine-readable reason.
        history: What the message carries on.
        bug: Whether our code or a handler's failed, so that a person needs the traceback.
    """

    reason: str
    history: History
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Send it on to the dead letters, reply if asked, then acknowledge.

    Attributes:
        reason: The machine-readable reason.
        history: What the message carries on.
        bug: Whether our code or a handler's failed, so that a person needs the traceback.
    """

    reason: str
    history: History
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Keep it, and all others, until the database answers again.

    Attributes:
        reason: The machine-readable reason.
    """

    reason: str


Settlement = Answer | Retry | DeadLetter | Pause


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
    # It can be decided when the events are restored, and then a person has it replayed.
    _Rule((HistoryArchived,), Action.DEAD_LETTER, _named("history_archived")),
    _Rule((ConflictError,), Action.RETRY, _named("conflicts_exhausted")),
    _Rule((TransientStoreError, PositionNotReached), Action.RETRY, _named("store_transient")),
    _Rule((HandlerTimedOut,), Action.RETRY, _named("handler_timeout")),
    _Rule((KilledItsProcess,), Action.DEAD_LETTER, _named("killed_its_process")),
    _Rule((IsolationFailed,), Action.RETRY, _named("isolation_failed")),
    # During a release, workers of the next one record what this one cannot read: one of them decides.
    _Rule((NewerEvent,), Action.RETRY, _named("newer_event")),
    # A store that turns out misconfigured while we run has changed under us: no command is to blame.
    _Rule((StoreUnavailable, OutcomeUnknown, StoreMisconfigured), Action.PAUSE, _named("store_unavailable")),
    # What the store or our own parts raise besides, nobody has thought of.
    _Rule((EventStoreError, WorkerError), Action.DEAD_LETTER, _named("unknown_failure"), bug=True),
    # All else comes out of a handler.
    _Rule((BaseException,), Action.RETRY, _named("handler_error"), bug=True),
)


def judge(failure: BaseException) -> FailureVerdict:
    """Decide what is to be done about a failure, its message's history aside."""
    if isinstance(failure, FailedElsewhere):
        return failure.failure.verdict
    rule = next(rule for rule in _RULES if isinstance(failure, rule.failures))
    return FailureVerdict(action=rule.action, reason=rule.reason(failure), bug=rule.bug)


def settle(happened: Answer | BaseException, history: History, *, now: datetime, max_age: timedelta) -> Settlement:
    """Decide what is done with a delivery.

    Args:
        happened: The answer, or what processing raised.
        history: What the message went through before.
        now: The present time.
        max_age: How long after its first failure a message is no longer retried.
    """
    if isinstance(happened, Answer):
        return happened
    verdict = judge(happened)
    if verdict.action is Action.PAUSE:
        return Pause(reason=verdict.reason)
    failed = history.failed(now, bug=verdict.bug)
    spent = failed.bugs > _BUG_RETRIES if verdict.bug else failed.age(now) >= max_age
    if verdict.action is Action.DEAD_LETTER or spent:
        return DeadLetter(reason=verdict.reason, history=failed, bug=verdict.bug)
    return Retry(reason=verdict.reason, history=failed, bug=verdict.bug)
