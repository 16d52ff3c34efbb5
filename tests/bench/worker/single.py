"""A baseline: a conventional worker. One query and one transaction per command, and backoff after each conflict.

``python -m tests.bench.worker.single PREFETCH``, with the worker's settings in the environment. It prints "consuming"
when it consumes, and stops on SIGTERM. Decisions, statements, keys and receipts are ours; rounds, cached states,
coalesced reads and group commit are missing.
"""

import asyncio
import signal
import sys
from typing import Any

import asyncpg
import uvloop
from aiormq.abc import DeliveredMessage
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from eventstore import Append, BoundaryPart, ConcurrencyConflict, EventStoreError, Outcome, OutcomeKind, Receipt
from eventstore.postgres.appends.batch import Behind, columns, verdict_of
from eventstore.postgres.reads.branches import branches_of
from eventstore.postgres.reads.branches import columns as branch_columns
from eventstore.postgres.reads.rows import event_of, head_of
from eventstore.postgres.statements import statement
from handlers.decider import Accepted, Rejected
from handlers.domain import Domain
from handlers.library import domain
from tests.bench.subjects.postgres import Pool
from tests.bench.subjects.single import SETTINGS, keep_session
from worker.amqp.connection import Link
from worker.message import CommandMessage, digest, read_body
from worker.settings import Settings
from worker.topology import Topology

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5


class SingleWorker:
    """Decides commands, each separately.

    Args:
        pool: The database.
        domain: The domain of the commands.
        settings: The limits of messages.
    """

    def __init__(self, pool: Pool, domain: Domain, settings: Settings) -> None:
        self._pool = pool
        self._domain = domain
        self._settings = settings

    async def settle(self, message: CommandMessage) -> None:
        """Decide a command until its append succeeds."""
        retries = AsyncRetrying(
            retry=retry_if_exception_type(ConcurrencyConflict),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            reraise=True,
        )
        async for attempt in retries:
            with attempt:
                await self._attempt(message)

    async def _attempt(self, message: CommandMessage) -> None:
        body = read_body(
            message.body,
            max_bytes=self._settings.worker_max_message_bytes,
            max_depth=self._settings.worker_max_json_depth,
        )
        command = self._domain.parse(message.command_type, body)
        reads = self._domain.reads(command)
        branches = [branch for part in reads.parts for branch in branches_of(part.filter)]
        rows = await self._pool.fetch(statement("query"), *branch_columns(branches), None, [])
        found = {row[1]: event_of(row) for row in rows if row[0] > 0}
        history = [found[number] for number in sorted(found)]
        states = {
            part: self._domain.fold(part, part.initial(), filter(part.filter.holds, history)) for part in reads.parts
        }
        decision = self._domain.decide(command, reads, states)
        head = head_of(rows)
        facts: tuple[Any, ...] = ()
        outcome = Outcome(kind=OutcomeKind.UNCHANGED)
        match decision:
            case Accepted(events=facts):
                outcome = Outcome(kind=OutcomeKind.ACCEPTED)
            case Rejected(reason=reason, event=event):
                facts = () if event is None else (event,)
                outcome = Outcome(kind=OutcomeKind.REJECTED, reason=reason)
        append = Append(
            events=[self._domain.to_record(fact, {"command_id": str(message.command_id)}) for fact in facts],
            boundary=[BoundaryPart(filter=part.filter, after=head) for part in reads.parts],
            key=message.command_id,
            digest=digest(message.command_type, body),
            outcome=outcome,
        )
        (row,) = await self._pool.fetch(statement("append"), *columns([append]))
        match verdict_of(append, row):
            case Receipt():
                return
            case Behind():
                raise ConcurrencyConflict(sequence_number=0, event_type="", metadata={})
            case EventStoreError() as error:
                raise error
            case other:
                raise EventStoreError(f"the append was answered by {other!r}")


async def run(prefetch: int) -> None:
    """Consume until SIGTERM."""
    settings = Settings.load(needs=("database_url", "amqp_url"))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool = await asyncpg.create_pool(
        settings.database_url, min_size=4, max_size=16, server_settings=SETTINGS, reset=keep_session
    )
    worker = SingleWorker(pool, domain, settings)
    link = Link(settings.amqp_url, name="single")
    wire = await link.wire()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(delivered: DeliveredMessage) -> None:
        message = CommandMessage.parse(delivered.header.properties, delivered.body)
        await worker.settle(message)
        await wire.basic_ack(delivered.delivery_tag or 0, wait=False)

    async def start(delivered: DeliveredMessage) -> None:
        task = asyncio.create_task(handle(delivered))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await wire.basic_qos(prefetch_count=prefetch)
    await wire.basic_consume(Topology(domain.name).queue, start)
    sys.stdout.write("consuming\n")
    sys.stdout.flush()
    await stop.wait()
    await asyncio.gather(*tasks)
    await link.close()
    await pool.close()


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1])))
