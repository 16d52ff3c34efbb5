"""Contained code of a domain cannot end the program, and its exceptions can always be reported."""

import asyncio

import pytest

from eventstore import (
    ChainBroken,
    ConflictError,
    EventStoreError,
    HistoryArchived,
    InvalidEvent,
    InvalidFilter,
    OutcomeUnknown,
    StoreMisconfigured,
    StoreUnavailable,
)
from handlers import HandlerCrashed
from handlers.contained import Contained


class Mute(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class MutePanic(BaseException):
    def __str__(self) -> str:
        raise LookupError("no text")


class Deadly(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (GeneratorExit("end"), "GeneratorExit: end"),
        (Mute(), "Mute, which cannot say what it is"),
        (MutePanic(), "MutePanic, which cannot say what it is"),
        (Deadly(), "Deadly, which cannot say what it is"),
    ],
)
def test_an_exception_that_ends_the_program_or_cannot_be_printed_is_replaced(raised: BaseException, text: str) -> None:
    with pytest.raises(HandlerCrashed) as crash, Contained():
        raise raised
    assert (str(crash.value), crash.value.__cause__) == (text, raised)


@pytest.mark.parametrize(
    "raised",
    [
        StoreUnavailable("down"),
        OutcomeUnknown("lost"),
        StoreMisconfigured("no rights"),
        ConflictError("late"),
        ChainBroken("late"),
        HistoryArchived(first=1, last=2),
        EventStoreError("odd"),
    ],
)
def test_a_store_error_raised_by_a_domain_is_a_bug_of_the_domain(raised: EventStoreError) -> None:
    with pytest.raises(HandlerCrashed) as crash, Contained():
        raise raised
    assert (str(crash.value), crash.value.__cause__) == (f"{type(raised).__name__}: {raised}", raised)


@pytest.mark.parametrize(
    "raised", [InvalidEvent("no type"), InvalidFilter("a NUL"), KeyError("x"), KeyboardInterrupt()]
)
def test_other_errors_and_interrupts_pass_through(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as told, Contained():
        raise raised
    assert told.value is raised
