"""The batcher: how requests share a batch, are asked again, and are cancelled while a batch is in flight."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import pytest

from eventstore import START, EventStoreError, InvalidRequest
from eventstore.postgres.batcher import Batcher, Waiting
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.reads.coalescer import Coalescer
from eventstore.postgres.reads.lookup import Answer, Lookup


class Weighty(Batcher[int, int]):
    """A question is a number: it is its own weight and its own answer."""

    def __init__(self) -> None:
        super().__init__(Pool(cast("Any", None), "nowhere", cast("Any", None)), "question")
        self.batches: list[list[int]] = []
        self.sizes: dict[int, int] = {}
        self.again: set[int] = set()
        self.refused: set[int] = set()
        self.broken: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def _weigh(self, question: int) -> tuple[int, int]:
        return question, self.sizes.get(question, 0)

    async def _answer(self, batch: Sequence[Waiting[int, int]]) -> Sequence[int | None]:
        questions = [waiting.question for waiting in batch]
        self.batches.append(questions)
        await self.gate.wait()
        if self.broken is not None:
            raise self.broken
        if not self.refused.isdisjoint(questions):
            raise InvalidRequest("a value is refused")
        answers = [None if question in self.again else question for question in questions]
        self.again.difference_update(questions)
        return answers


async def run_ready_tasks() -> None:
    """Run every ready task."""
    for _ in range(5):
        await asyncio.sleep(0)


async def together(*questions: Awaitable[int]) -> list[int | BaseException]:
    return await asyncio.gather(*questions, return_exceptions=True)


@pytest.fixture
def batcher() -> Weighty:
    return Weighty()


async def test_requests_of_one_loop_iteration_share_a_batch(batcher: Weighty) -> None:
    assert await together(*map(batcher.ask, [1, 2, 3])) == [1, 2, 3]
    assert batcher.batches == [[1, 2, 3]]


async def test_a_batch_is_filled_up_to_its_weight_with_at_least_one_request(batcher: Weighty) -> None:
    questions = [100, 28, 1, 128, 200, 64, 65]
    assert await together(*map(batcher.ask, questions)) == questions
    assert batcher.batches == [[100, 28], [1], [128], [200], [64], [65]]


class Sized(Coalescer):
    """Records the number of queries per statement, and returns empty answers."""

    def __init__(self) -> None:
        super().__init__(Pool(cast("Any", None), "nowhere", cast("Any", None)), "query", cast("Any", None), seconds=1)
        self.sizes: list[int] = []

    async def _answer(self, batch: Sequence[Waiting[Lookup, Answer]]) -> Sequence[Answer]:
        self.sizes.append(len(batch))
        return [Answer((), START, {}) for _ in batch]


@pytest.mark.parametrize(
    ("callers", "sizes"), [(1, [1]), (16, [16]), (20, [16, 4]), (40, [20, 16, 4]), (128, [32, 32, 32, 16, 16])]
)
async def test_a_statement_takes_half_of_the_waiting_queries(callers: int, sizes: list[int]) -> None:
    """If one statement took all, all callers would wait for it, and the server would idle while they continue."""
    queries = Sized()
    await asyncio.gather(*(queries.ask(Lookup(())) for _ in range(callers)))
    assert queries.sizes == sizes


async def test_a_batch_is_filled_up_to_its_bytes_with_at_least_one_request(batcher: Weighty) -> None:
    batcher.sizes = {1: 600_000, 2: 400_000, 3: 1, 4: 5_000_000, 5: 1}
    assert await together(*map(batcher.ask, [1, 2, 3, 4, 5])) == [1, 2, 3, 4, 5]
    assert batcher.batches == [[1, 2], [3], [4], [5]]


async def test_requests_to_be_asked_again_come_first_and_in_order(batcher: Weighty) -> None:
    batcher.again = {1, 3}
    batcher.gate.clear()
    asked = [asyncio.create_task(batcher.ask(question)) for question in (1, 2, 3)]
    await run_ready_tasks()
    asked.append(asyncio.create_task(batcher.ask(4)))
    await run_ready_tasks()
    batcher.gate.set()
    assert await together(*asked) == [1, 2, 3, 4]
    assert batcher.batches == [[1, 2, 3], [1, 3, 4]]


async def test_a_refused_request_fails_alone(batcher: Weighty) -> None:
    batcher.refused = {2, 5}
    found = await together(*map(batcher.ask, [1, 2, 3, 4, 5]))
    assert [type(answer) for answer in found] == [int, InvalidRequest, int, int, InvalidRequest]
    halves = [[1, 2, 3, 4, 5], [1, 2], [1], [2], [3, 4, 5], [3], [4, 5], [4], [5]]
    assert batcher.batches == halves


@pytest.mark.parametrize("failure", [EventStoreError("it is down"), RuntimeError("nobody has thought of this")])
async def test_a_failed_batch_raises_a_separate_error_for_each_request(batcher: Weighty, failure: Exception) -> None:
    batcher.broken = failure
    found = await together(*map(batcher.ask, [1, 2]))
    assert all(isinstance(error, EventStoreError) and str(failure) in str(error) for error in found)
    assert found[0] is not found[1]
    batcher.broken = None
    assert await batcher.ask(3) == 3


async def test_a_cancelled_waiting_request_is_not_sent_unless_bound(batcher: Weighty) -> None:
    batcher.gate.clear()
    first = asyncio.create_task(batcher.ask(1))
    await run_ready_tasks()
    left = asyncio.create_task(batcher.ask(2))
    bound = asyncio.create_task(batcher.ask(3, is_bound=True))
    stays = asyncio.create_task(batcher.ask(4))
    await run_ready_tasks()
    left.cancel()
    bound.cancel()
    await asyncio.wait([left, bound])
    batcher.gate.set()
    assert await together(first, stays) == [1, 4]
    assert batcher.batches == [[1], [3, 4]]


async def test_a_request_cancelled_just_before_the_sending_is_not_sent(batcher: Weighty) -> None:
    left = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0)
    left.cancel()  # the sender runs before the cancelled task
    assert await batcher.ask(2) == 2
    assert batcher.batches == [[2]]


async def test_closing_waits_for_a_batch_whose_callers_are_cancelled(batcher: Weighty) -> None:
    batcher.gate.clear()
    left = asyncio.create_task(batcher.ask(1))
    await run_ready_tasks()
    left.cancel()
    closing = asyncio.create_task(batcher.close())
    await run_ready_tasks()
    assert not closing.done()
    batcher.gate.set()
    await closing
    assert batcher.batches == [[1]]
