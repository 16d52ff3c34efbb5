"""The followers in a trial: processes of ``worker follow``, and the audit of their effects."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from eventstore import Filter, RecordedEvent
from eventstore.postgres import PostgresEventStore, Session
from handlers import Reaction, Relay
from handlers.decider import Command
from handlers.library import domain as library
from handlers.library.lend_book_copy import LendBookCopyToReader
from tests.faults.size import Size
from tests.faults.started_workers import StartedWorkers
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.waiting import eventually
from worker.amqp.connection import Link
from worker.amqp.relay_exchange import declare_exchange
from worker.reading.administration import move
from worker.reading.outputs import Output, position_before
from worker.topology import Topology, events_exchange

__all__ = ["Following", "out_of_order", "with_due_dates"]

_HEARD = "heard"
# The wait depends on the length of the log: all of its reactions may be sent again.
_SECONDS = 1200.0 if Size.is_long() else 90.0
_LOOK_SECONDS = 0.2
# Due dates of loans, from now: within the trial, so that the scheduled commands are sent.
_DUE_SECONDS = 0.2, 2.0
_ROWS = {
    "books-lent-out": "SELECT book_id, reader_id, lent_at FROM read_library.books_lent_out",
    "reader-history": "SELECT number, reader_id, book_id, what, at FROM read_library.reader_history",
}
# The number of followers that are behind the head or stopped, and of commands waiting in the schedule.
_BEHIND = """
SELECT (
    SELECT count(*) FROM reading.followers f WHERE f.kind <> 'schedule' AND (
        f.number < (SELECT max(e.sequence_number) FROM eventstore.events e) OR f.diverged_at IS NOT NULL
        OR f.failed_number IS NOT NULL OR NOT f.is_current
    )
) + (SELECT count(*) FROM schedule.commands)
"""
# The number of reactions and relays that have not yet noticed that their position is not in the log's history.
_UNAWARE = """
SELECT count(*) FROM reading.followers f
WHERE f.kind IN ('reaction', 'relay') AND f.diverged_from IS NULL
    AND f.number <> (SELECT max(e.sequence_number) FROM eventstore.events e)
"""
Rows = dict[str, set[tuple[Any, ...]]]


def with_due_dates(commands: Iterator[Command], rng: random.Random) -> Iterator[Command]:
    """Give each lending a due date: the library schedules a command for it."""
    for command in commands:
        if isinstance(command, LendBookCopyToReader):
            due_at = datetime.now(UTC) + timedelta(seconds=rng.uniform(*_DUE_SECONDS))
            yield command.model_copy(update={"due_at": due_at})
        else:
            yield command


class Following:
    """Processes that run projections, reactions, relays and the schedule; each by one process at a time.

    Attributes:
        fleet: The processes.
        database_url: The database of the log and of their checkpoints.
        sent_before: Commands that reactions to events that were lost later may have sent.
    """

    def __init__(self, fleet: StartedWorkers, database_url: str, amqp_url: str) -> None:
        self.fleet = fleet
        self.database_url = database_url
        self.sent_before: dict[UUID, Command] = {}
        self._amqp_url = amqp_url

    @classmethod
    @asynccontextmanager
    async def running(
        cls, count: int, environment: dict[str, str], folder: Path, *, database_url: str, amqp_url: str
    ) -> AsyncIterator[Self]:
        """Start processes, with a queue that receives all relayed events; they end with the ``async with``."""
        link = Link(amqp_url, name="faults")
        await declare_exchange(link, library.name)
        await link.close()
        async with AmqpClient.open(amqp_url) as client:
            queue = await client.channel.declare_queue(_HEARD, durable=True, arguments={"x-queue-type": "quorum"})
            await queue.bind(events_exchange(library.name), "#")
        async with StartedWorkers.running(count, environment, folder, command="follow") as fleet:
            yield cls(fleet, database_url, amqp_url)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the processes during the ``with``."""
        pids = self.fleet.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    async def expected(self) -> dict[UUID, Command]:
        """Return the commands that reactions send for the recorded events, by id."""
        return {
            reaction.command_id(library.name, event.position, index): send.command
            for event in await self._events()
            for reaction in library.reactions
            if reaction.events.holds(event)
            for index, send in enumerate(reaction.sent_by(library.projected(event)))
        }

    async def go_on(self) -> None:
        """Move reactions and relays to the first event, as an operator does after the log was rewritten.

        That is further back than their checkpoints: commands in the schedule may have been lost with the log.
        """
        await eventually(self._know_of_the_log, what="followers to look at the rewritten log", seconds=_SECONDS)
        session = Session(self.database_url, purpose="faults")
        async with PostgresEventStore.connect(self.database_url) as store:
            start, head = await position_before(store, 1)
            outputs: list[Reaction | Relay] = [*library.reactions, *library.relays]
            for output in outputs:
                await move(session, Output(domain=library, output=output).name, start, head=head, by="the trial")
        await session.close()

    async def finish(self) -> dict[UUID, Command]:
        """Wait until all events have taken effect; return the commands that were sent for them."""
        await self._done()
        settled = await self._settled()
        return await self.expected() | {
            command_id: command for command_id, command in self.sent_before.items() if command_id in settled
        }

    async def audit(self) -> list[str]:
        """Stop the processes, and return the errors in their effects."""
        await self._done()
        drains = await self.fleet.drain()
        faults = [f"{drain.name} ended with status {drain.status}; see {drain.log}" for drain in drains if drain.status]
        faults += self.fleet.complaints()
        events = await self._events()
        for projection, rows in _folded(events).items():
            there = set(await self._query(_ROWS[projection]))
            if rows != there:
                faults.append(f"{projection} lacks {len(rows - there)} rows, and has {len(there - rows)} too many")
        return faults + out_of_order(
            {event.sequence_number: event.occurred_at for event in events}, await self._heard()
        )

    async def _done(self) -> None:
        async with AmqpClient.open(self._amqp_url) as client:
            await eventually(partial(self._is_done, client), what="followers to be done", seconds=_SECONDS)

    async def _is_done(self, client: AmqpClient) -> bool:
        await asyncio.sleep(_LOOK_SECONDS)
        if await client.ready(Topology(library.name).schedule_queue) or (await self._query(_BEHIND)) != [(0,)]:
            return False
        # Events of these commands have moved the head: it is read again after their receipts.
        return (await self.expected()).keys() <= await self._settled() and await self._query(_BEHIND) == [(0,)]

    async def _know_of_the_log(self) -> bool:
        await asyncio.sleep(_LOOK_SECONDS)
        return await self._query(_UNAWARE) == [(0,)]

    async def _events(self) -> list[RecordedEvent]:
        async with PostgresEventStore.connect(self.database_url) as store:
            return [event async for event in store.read(Filter.matching_any_event(), batch_size=5000)]

    async def _settled(self) -> set[UUID]:
        return {key for (key,) in await self._query("SELECT key FROM eventstore.receipts WHERE key IS NOT NULL")}

    async def _query(self, sql: str) -> list[tuple[Any, ...]]:
        session = Session(self.database_url, purpose="faults")
        try:
            async with session.transaction() as transaction:
                return [tuple(row.values()) for row in await transaction.fetch(sql)]
        finally:
            await session.close()

    async def _heard(self) -> list[tuple[int, datetime]]:
        async with AmqpClient.open(self._amqp_url) as client:
            queue = await client.channel.get_queue(_HEARD, ensure=False)
            heard = []
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                number, at = (str(message.headers[f"cloudEvents_{name}"]) for name in ("id", "time"))
                heard.append((int(number), datetime.fromisoformat(at)))
            return heard


def _folded(events: list[RecordedEvent]) -> Rows:
    """Return the rows that the projections must have after these events."""
    lent: dict[str, tuple[Any, ...]] = {}
    history: set[tuple[Any, ...]] = set()
    for event in events:
        book, reader, at = event.payload.get("BookID"), event.payload.get("ReaderID"), event.occurred_at
        if event.type == "BookCopyLentToReader":
            lent[str(book)] = book, reader, at
            history.add((event.sequence_number, reader, book, "lent", at))
        elif event.type == "BookCopyReturnedByReader":
            lent.pop(str(book), None)
            history.add((event.sequence_number, reader, book, "returned", at))
    return {"books-lent-out": set(lent.values()), "reader-history": history}


def out_of_order(recorded: Mapping[int, datetime], heard: Sequence[tuple[int, datetime]]) -> list[str]:
    """Return the errors in the relayed events: each must be relayed at least once, and none before an earlier one.

    Args:
        recorded: The recording time of each event of the log, by number.
        heard: The number and recording time of each relayed event, in order of receipt.
    """
    faults = []
    before = reached = 0
    for number, at in heard:
        if number > before + 1:
            faults.append(f"event {number} was relayed right behind {before}")
        before = number
        # An event of a lost history: its number now belongs to another event.
        if number == reached + 1 and recorded.get(number) == at:
            reached = number
    if reached != len(recorded):
        faults.append(f"event {reached + 1} of {len(recorded)} was not relayed in its turn")
    return faults[:5]
