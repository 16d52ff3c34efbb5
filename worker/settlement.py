"""The settlement: what is done with a delivery, by its answer or failure. One function, one table."""

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
    """What is done about a failure, before the message's history is considered."""

    RETRY = "retry"
    """Send the message to the retry queue, then acknowledge it."""
    DEAD_LETTER = "dead_letter"
    """Send the message to the dead-letter queue with its reason, reply if asked, then acknowledge it."""
    PAUSE = "pause"
    """Keep this message and all others until the database answers; then process it again. It counts as no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureVerdict:
    """What is to be done about a failure, before the message's history is considered.

    Attributes:
        action: The action.
        reason: The machine-readable reason.
        bug: Whether the failure is a bug in the worker or a handler, so that it is retried only a few times.
    """

    action: Action
    reason: str
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception that was raised in another process, as a value.

    Attributes:
        verdict: What is to be done about it.
        text: The exception's text.
        headline: The exception's type, and the line of the domain's code that led to it.
        where: The same for a log, which does not contain the text.
        traceback: The formatted traceback.
    """

    verdict: FailureVerdict
    text: str
    headline: str
    where: str
    traceback: str


class FailedElsewhere(Exception):
    """Raised in place of an exception of another process, where its verdict was determined.

    Attributes:
        failure: The description of that exception.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The command has an answer: reply if asked, then acknowledge.

    Attributes:
        receipt: The recorded receipt.
        attempts: How many attempts were made for this delivery; 0 if a receipt was found without any.
    """

    receipt: Receipt
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send the message to the retry queue, then acknowledge it.

    Attributes:
        reason: The machine-readable reason.
        history: The history, including this failure, for the copy's headers.
        bug: Whether the worker's or a handler's code failed, so that a person needs the traceback.
    """

    reason: str
    history: History
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Send the message to the dead-letter queue, reply if asked, then acknowledge it.

    Attributes:
        reason: The machine-readable reason.
        history: The history, including this failure, for the copy's headers.
        bug: Whether the worker's or a handler's code failed, so that a person needs the traceback.
    """

    reason: str
    history: History
    bug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Keep this message and all others until the database answers again.

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


# The first rule that matches decides.
_RULES = (
    _Rule((BadMessage,), Action.DEAD_LETTER, _own_code),
    _Rule((IdempotencyKeyReused,), Action.DEAD_LETTER, _named("id_reused")),
    _Rule((InvalidRequest,), Action.DEAD_LETTER, _named("not_storable")),
    # It can be decided once the events are restored and a person replays it.
    _Rule((HistoryArchived,), Action.DEAD_LETTER, _named("history_archived")),
    _Rule((ConflictError,), Action.RETRY, _named("conflicts_exhausted")),
    _Rule((TransientStoreError, PositionNotReached), Action.RETRY, _named("store_transient")),
    _Rule((HandlerTimedOut,), Action.RETRY, _named("handler_timeout")),
    _Rule((KilledItsProcess,), Action.DEAD_LETTER, _named("killed_its_process")),
    _Rule((IsolationFailed,), Action.RETRY, _named("isolation_failed")),
    # During a release, newer workers record events that this one cannot read: one of them decides the command.
    _Rule((NewerEvent,), Action.RETRY, _named("newer_event")),
    # A store that becomes misconfigured while the process runs was changed from outside: no command caused it.
    _Rule((StoreUnavailable, OutcomeUnknown, StoreMisconfigured), Action.PAUSE, _named("store_unavailable")),
    # Any other error of the store or the worker is unexpected.
    _Rule((EventStoreError, WorkerError), Action.DEAD_LETTER, _named("unknown_failure"), bug=True),
    # Everything else comes from a handler.
    _Rule((BaseException,), Action.RETRY, _named("handler_error"), bug=True),
)


def judge(failure: BaseException) -> FailureVerdict:
    """Return what is to be done about a failure, before the message's history is considered."""
    if isinstance(failure, FailedElsewhere):
        return failure.failure.verdict
    rule = next(rule for rule in _RULES if isinstance(failure, rule.failures))
    return FailureVerdict(action=rule.action, reason=rule.reason(failure), bug=rule.bug)


def settle(
    happened: Answer | BaseException, history: History, *, now: datetime, max_age: timedelta, least_retries: int
) -> Settlement:
    """Return what is done with a delivery.

    Args:
        happened: The answer, or the exception of processing.
        history: The message's history before this delivery.
        now: The current time, with a time zone.
        max_age: For how long after its first failure a message is retried. Bugs are retried a few times only.
        least_retries: How often it is retried at least, however old it seems: the time of its first failure is that of
            another clock, or of this one before it was set, and it may have waited in a queue that nobody consumed.
    """
    if isinstance(happened, Answer):
        return happened
    verdict = judge(happened)
    if verdict.action is Action.PAUSE:
        return Pause(reason=verdict.reason)
    failed = history.failed(now, bug=verdict.bug)
    is_old = failed.age(now) >= max_age and failed.attempts > least_retries
    spent = failed.bugs > _BUG_RETRIES if verdict.bug else is_old
    if verdict.action is Action.DEAD_LETTER or spent:
        return DeadLetter(reason=verdict.reason, history=failed, bug=verdict.bug)
    return Retry(reason=verdict.reason, history=failed, bug=verdict.bug)
