"""A store whose appends wait, before they are recorded or before their answer, until a test releases them."""

import asyncio
from collections.abc import Sequence

from eventstore import Append, EventStoreError, OutcomeUnknown, Receipt
from tests.unit.worker.staged import StagedStore, others_come
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler
from worker.settlement import Answer


class GatedStore(StagedStore):
    """Holds chains back.

    Attributes:
        may_record: Set while chains are recorded at once.
        may_answer: Set while they are answered at once.
        is_lost: Whether the next answer is lost after its chain was recorded.
        bug: An unexpected exception for the next chain to raise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.may_record = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_record.set()
        self.may_answer.set()
        self.is_lost = False
        self.bug: Exception | None = None

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        self.chains.append(len(appends))
        await self.may_record.wait()
        if self.bug is not None:
            bug, self.bug = self.bug, None
            raise bug
        self.chains.pop()
        found = await super().append_chain(appends)
        await self.may_answer.wait()
        if self.is_lost:
            self.is_lost = False
            raise OutcomeUnknown("the connection broke")
        return found


async def all_wait() -> None:
    """Run the loop until all tasks wait for the test."""
    for _ in range(10):
        await others_come()


def sent(scheduler: Scheduler, message: CommandMessage) -> "asyncio.Task[Answer]":
    """Start to process a command."""
    return asyncio.create_task(scheduler.process(message))
