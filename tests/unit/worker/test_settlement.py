from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from eventstore import (
    ACCEPTED,
    START,
    ConcurrencyConflict,
    EventStoreError,
    HistoryArchived,
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
from handlers.errors import HandlerCrashed, NewerEvent, UnknownEventType, UnreadableEvent
from worker.errors import BrokerUnavailable, HandlerTimedOut, IsolationFailed, KilledItsProcess
from worker.history import History
from worker.message import BadMessage
from worker.settlement import Answer, DeadLetter, FailedElsewhere, Failure, Pause, Retry, Settlement, judge, settle

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAX_AGE, LEAST_RETRIES = timedelta(minutes=10), 12
CONFLICT = ConcurrencyConflict(sequence_number=4, event_type="Counted", metadata={})


def settled(happened: Answer | BaseException, history: History | None = None) -> Settlement:
    return settle(happened, history or History(), now=NOW, max_age=MAX_AGE, least_retries=LEAST_RETRIES)


def test_an_answer_is_settled_as_answered() -> None:
    receipt = Receipt(key=uuid4(), outcome=ACCEPTED, first=1, last=1, position=START, recorded_at=NOW)
    answer = Answer(receipt=receipt, attempts=1)
    assert settled(answer) is answer


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (BadMessage("too_deep", "…"), DeadLetter, "too_deep"),
        (IdempotencyKeyReused(uuid4()), DeadLetter, "id_reused"),
        (InvalidRequest("…"), DeadLetter, "not_storable"),
        (InvalidEvent("…"), DeadLetter, "not_storable"),
        (HistoryArchived(first=1, last=9), DeadLetter, "history_archived"),
        (CONFLICT, Retry, "conflicts_exhausted"),
        (HistoryDiverged("…"), Retry, "conflicts_exhausted"),
        (TransientStoreError("…"), Retry, "store_transient"),
        (PositionNotReached("…"), Retry, "store_transient"),
        (HandlerTimedOut("…"), Retry, "handler_timeout"),
        (KilledItsProcess("…"), DeadLetter, "killed_its_process"),
        (IsolationFailed("…"), Retry, "isolation_failed"),
        (StoreUnavailable("…"), Pause, "store_unavailable"),
        (OutcomeUnknown("…"), Pause, "store_unavailable"),
        (StoreMisconfigured("…"), Pause, "store_unavailable"),
        (ZeroDivisionError("…"), Retry, "handler_error"),
        (RecursionError("…"), Retry, "handler_error"),
        (UnknownEventType("…"), Retry, "handler_error"),
        (UnreadableEvent("…"), Retry, "handler_error"),
        (NewerEvent("…"), Retry, "newer_event"),
        (EventStoreError("…"), DeadLetter, "unknown_failure"),
        (BrokerUnavailable("…"), DeadLetter, "unknown_failure"),
        (HandlerCrashed("…"), Retry, "handler_error"),
        (SystemExit(3), Retry, "handler_error"),
    ],
)
def test_the_settlement_table(failure: BaseException, kind: type[Retry | DeadLetter | Pause], reason: str) -> None:
    settlement = settled(failure)
    assert isinstance(settlement, kind)
    assert settlement.reason == reason


@pytest.mark.parametrize("failure", [CONFLICT, TransientStoreError("…"), HandlerTimedOut("…")])
def test_transient_failures_are_retried_until_the_maximum_age(failure: Exception) -> None:
    young = History(attempts=900, first_failure=NOW - MAX_AGE + timedelta(seconds=1))
    old = History(attempts=LEAST_RETRIES, first_failure=NOW - MAX_AGE)
    assert isinstance(settled(failure, young), Retry)
    assert isinstance(settled(failure, old), DeadLetter)


@pytest.mark.parametrize("failure", [CONFLICT, TransientStoreError("…"), HandlerTimedOut("…")])
def test_a_clock_that_is_set_forward_or_ahead_ends_no_retries(failure: Exception) -> None:
    for attempts in range(LEAST_RETRIES):
        history = History(attempts=attempts, first_failure=NOW - timedelta(hours=1))
        assert isinstance(settled(failure, history), Retry)


def test_a_clock_that_is_set_back_or_behind_prolongs_no_retries() -> None:
    settlement = settled(CONFLICT, History(attempts=900, first_failure=NOW + timedelta(hours=1)))
    assert isinstance(settlement, Retry)
    assert settlement.history == History(attempts=901, first_failure=NOW)


def test_a_handlers_bug_is_retried_twice_and_then_dead_lettered_with_its_traceback() -> None:
    history = History()
    kinds = []
    for _ in range(3):
        settlement = settled(ZeroDivisionError(), history)
        assert isinstance(settlement, Retry | DeadLetter)
        kinds.append(type(settlement))
        assert settlement.bug
        history = settlement.history
    assert kinds == [Retry, Retry, DeadLetter]


def test_conflicts_do_not_use_up_the_retries_of_a_bug() -> None:
    history = History()
    for _ in range(5):
        settlement = settled(CONFLICT, history)
        assert isinstance(settlement, Retry)
        history = settlement.history
    assert isinstance(settled(ZeroDivisionError(), history), Retry)


def test_a_pause_spends_no_retries() -> None:
    history = History(attempts=3, bugs=2, first_failure=NOW - 2 * MAX_AGE)
    assert settled(StoreUnavailable("…"), history) == Pause(reason="store_unavailable")


def test_a_history_round_trips_through_headers() -> None:
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
def test_invalid_headers_are_no_history(headers: dict[str, object]) -> None:
    assert History.read(headers) == History()


@pytest.mark.parametrize(
    "failure", [BadMessage("too_deep", "…"), CONFLICT, StoreUnavailable("…"), ZeroDivisionError("…")]
)
def test_a_failure_in_another_process_is_settled_by_its_judgement_there(failure: Exception) -> None:
    reported = Failure(
        verdict=judge(failure), text=str(failure), headline=type(failure).__name__, where="", traceback=""
    )
    for history in (None, History(attempts=2, bugs=2, first_failure=NOW)):
        assert settled(FailedElsewhere(reported), history) == settled(failure, history)


def test_commands_that_read_events_of_a_later_release_are_retried_for_the_maximum_age() -> None:
    history = History()
    for attempt in range(2 * LEAST_RETRIES):
        now = NOW + attempt * MAX_AGE / (2 * LEAST_RETRIES)
        found = settle(NewerEvent("…"), history, now=now, max_age=MAX_AGE, least_retries=LEAST_RETRIES)
        assert isinstance(found, Retry)
        assert not found.bug
        history = found.history
    found = settle(NewerEvent("…"), history, now=NOW + MAX_AGE, max_age=MAX_AGE, least_retries=LEAST_RETRIES)
    assert isinstance(found, DeadLetter)
    assert found.reason == "newer_event"
