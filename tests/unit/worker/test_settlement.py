from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from eventstore import (
    ACCEPTED,
    START,
    ConcurrencyConflict,
    EventStoreError,
    HistoryDiverged,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidRequest,
    OutcomeUnknown,
    PositionNotReached,
    Receipt,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from handlers.errors import UnknownEventType
from worker.errors import HandlerTimedOut, IsolationFailed, KilledItsProcess
from worker.history import History
from worker.message import BadMessage
from worker.rounds.scheduler import Processed
from worker.settlement import Action, FailedElsewhere, Failure, Settlement, judge, settle

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAX_AGE = timedelta(minutes=10)
CONFLICT = ConcurrencyConflict(sequence_number=4, event_type="Counted", metadata={})


def settled(happened: Processed | BaseException, history: History | None = None) -> Settlement:
    return settle(happened, history or History(), now=NOW, max_age=MAX_AGE)


def test_an_answer_is_answered() -> None:
    receipt = Receipt(key=uuid4(), outcome=ACCEPTED, first=1, last=1, position=START, recorded_at=NOW)
    assert settled(Processed(receipt=receipt, attempts=1)).action is Action.ANSWER


@pytest.mark.parametrize(
    ("failure", "action", "reason"),
    [
        (BadMessage("too_deep", "…"), Action.DEAD_LETTER, "too_deep"),
        (IdempotencyKeyReused(uuid4()), Action.DEAD_LETTER, "id_reused"),
        (InvalidRequest("…"), Action.DEAD_LETTER, "not_storable"),
        (InvalidEvent("…"), Action.DEAD_LETTER, "not_storable"),
        (CONFLICT, Action.RETRY, "conflicts_exhausted"),
        (HistoryDiverged("…"), Action.RETRY, "conflicts_exhausted"),
        (TransientStoreError("…"), Action.RETRY, "store_transient"),
        (PositionNotReached("…"), Action.RETRY, "store_transient"),
        (HandlerTimedOut("…"), Action.RETRY, "handler_deadline"),
        (KilledItsProcess("…"), Action.DEAD_LETTER, "killed_its_process"),
        (IsolationFailed("…"), Action.RETRY, "isolation_failed"),
        (StoreUnavailable("…"), Action.PAUSE, "store_unavailable"),
        (OutcomeUnknown("…"), Action.PAUSE, "store_unavailable"),
        (StoreMisconfigured("…"), Action.PAUSE, "store_unavailable"),
        (ZeroDivisionError("…"), Action.RETRY, "handler_error"),
        (RecursionError("…"), Action.RETRY, "handler_error"),
        (UnknownEventType("…"), Action.RETRY, "handler_error"),
        (EventStoreError("…"), Action.RETRY, "handler_error"),
        (SystemExit(3), Action.DEAD_LETTER, "unknown_failure"),
    ],
)
def test_the_table(failure: BaseException, action: Action, reason: str) -> None:
    settlement = settled(failure)
    assert (settlement.action, settlement.reason) == (action, reason)


@pytest.mark.parametrize("failure", [CONFLICT, TransientStoreError("…"), HandlerTimedOut("…")])
def test_what_passes_is_retried_until_the_maximum_age(failure: Exception) -> None:
    young = History(attempts=900, first_failure=NOW - MAX_AGE + timedelta(seconds=1))
    old = History(attempts=1, first_failure=NOW - MAX_AGE)
    assert settled(failure, young).action is Action.RETRY
    assert settled(failure, old).action is Action.DEAD_LETTER


def test_a_handlers_bug_is_retried_twice_and_then_shown_with_its_traceback() -> None:
    history = History()
    actions = []
    for _ in range(3):
        settlement = settled(ZeroDivisionError(), history)
        actions.append(settlement.action)
        assert settlement.traceback
        history = settlement.history
    assert actions == [Action.RETRY, Action.RETRY, Action.DEAD_LETTER]


def test_conflicts_do_not_use_up_the_retries_of_a_bug() -> None:
    history = History()
    for _ in range(5):
        history = settled(CONFLICT, history).history
    assert settled(ZeroDivisionError(), history).action is Action.RETRY


def test_a_pause_spends_nothing() -> None:
    history = History(attempts=3, bugs=2, first_failure=NOW - 2 * MAX_AGE)
    settlement = settled(StoreUnavailable("…"), history)
    assert settlement.action is Action.PAUSE
    assert settlement.history == history


def test_a_history_survives_its_headers() -> None:
    history = History().failed(NOW).failed(NOW + timedelta(seconds=5), bug=True)
    assert history == History(attempts=2, bugs=1, first_failure=NOW)
    assert History.read(history.headers()) == history
    assert History().headers() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"worker-attempts": "many", "worker-first-failure": "yesterday", "worker-handler-failures": -1},
        {"worker-attempts": None, "worker-first-failure": 5},
    ],
)
def test_headers_that_make_no_sense_are_no_history(headers: dict[str, object]) -> None:
    assert History.read(headers) == History()


@pytest.mark.parametrize(
    "failure", [BadMessage("too_deep", "…"), CONFLICT, StoreUnavailable("…"), ZeroDivisionError("…")]
)
def test_what_failed_in_another_process_is_settled_as_it_was_judged_there(failure: Exception) -> None:
    reported = Failure(verdict=judge(failure), kind=type(failure).__name__, text=str(failure), where="", traceback="")
    for history in (None, History(attempts=2, bugs=2, first_failure=NOW)):
        assert settled(FailedElsewhere(reported), history) == settled(failure, history)
