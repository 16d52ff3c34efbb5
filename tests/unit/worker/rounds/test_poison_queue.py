"""Poison messages that wait for each other or for the database: none is held for longer than the limit."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.context import Context

from eventstore import StoreUnavailable
from eventstore.backoff import Backoff
from worker.errors import IsolationFailed
from worker.message import CommandMessage
from worker.rounds.circuit_breaker import CircuitBreaker
from worker.rounds.job import Job
from worker.rounds.poison_queue import PoisonQueue
from worker.settlement import Answer

ANSWER: Any = object()
SHORT = 0.05


class GatedIsolator:
    """Decides when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begin_by: list[float] = []

    async def decide(self, *_: object, begin_by: float) -> Any:
        self.begin_by.append(begin_by)
        await self.gate.wait()
        return ANSWER


async def down() -> None:
    raise StoreUnavailable("the test says so")


@pytest.fixture
async def breaker() -> AsyncIterator[CircuitBreaker]:
    made = CircuitBreaker(down, backoff=Backoff(first=60, longest=60))
    yield made
    await made.close()


@pytest.fixture
def isolator() -> GatedIsolator:
    return GatedIsolator()


@pytest.fixture
async def queue(isolator: GatedIsolator, breaker: CircuitBreaker) -> AsyncIterator[PoisonQueue]:
    as_one: Any = isolator
    made = PoisonQueue(as_one, "tally", breaker)
    yield made
    await made.close()


def job(held_for: float) -> tuple[Job, "asyncio.Future[Answer | Exception | None]"]:
    """A command, and the list that gets its end."""
    end: asyncio.Future[Answer | Exception | None] = asyncio.get_running_loop().create_future()
    identity = uuid4()
    message = CommandMessage(
        command_id=identity,
        command_type="Count",
        body=b"{}",
        correlation_id=str(identity),
        causation_id=str(identity),
        headers={},
    )
    made = Job(
        message,
        lambda _, happened: end.set_result(happened),
        context=Context(),
        held_until=time.monotonic() + held_for,
    )
    return made, end


async def test_a_message_that_waits_behind_another_for_too_long_is_retried_later(
    queue: PoisonQueue, isolator: GatedIsolator
) -> None:
    (first, first_end), (second, second_end), (third, third_end) = job(SHORT), job(SHORT), job(600)
    for each in (first, second, third):
        queue.submit(each)
    assert isinstance(await second_end, IsolationFailed)
    # The message in progress is decided, and the one within its limit still waits.
    assert not first_end.done()
    assert not third_end.done()
    isolator.gate.set()
    assert await first_end is ANSWER
    assert await third_end is ANSWER
    # Waiting behind messages of another domain counts as well.
    assert isolator.begin_by == [first.held_until, third.held_until]


async def test_messages_that_wait_for_a_database_for_too_long_fail_with_its_error(
    queue: PoisonQueue, breaker: CircuitBreaker, isolator: GatedIsolator
) -> None:
    breaker.open(StoreUnavailable("down"), breaker.era)
    ends = []
    for held_for in (SHORT, 2 * SHORT):
        each, end = job(held_for)
        queue.submit(each)
        ends.append(end)
    for end in ends:
        failure = await end
        assert isinstance(failure, StoreUnavailable)
        assert "for as long as this message could be held" in str(failure)
    assert isolator.begin_by == []


async def test_later_messages_are_limited_as_well(queue: PoisonQueue, isolator: GatedIsolator) -> None:
    first, _ = job(SHORT)
    queue.submit(first)
    for _ in range(2):
        late, end = job(SHORT)
        queue.submit(late)
        assert isinstance(await end, IsolationFailed)
    assert len(isolator.begin_by) == 1
