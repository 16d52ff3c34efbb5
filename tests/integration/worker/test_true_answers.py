"""A command that is on record has that answer, whatever it fails of when it comes again."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest
from pydantic import Field

from eventstore import ACCEPTED, EventStoreError, Filter, P, Receipt
from eventstore.postgres import PostgresEventStore
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, View
from tests.integration.eventstore.staging import connected, head_locked, waiting
from tests.support.amqp_client import AmqpClient
from tests.support.domains.tally import Count, Counted, Tally, domain, tally
from tests.support.fixtures.databases import Database
from tests.support.fixtures.waiting import eventually
from tests.support.serving import QUEUES, serving_domain, settled
from worker.amqp.delivery import POISON_HEADER
from worker.counters import Counters, End
from worker.errors import KilledItsProcess
from worker.isolation.isolator import Isolator
from worker.message import CommandMessage
from worker.publisher import Publisher
from worker.rounds.scheduler import Scheduler
from worker.settings import Settings
from worker.settlement import Answer


class Open(Command):
    """Count what was not counted before; else, that is held for a bug."""

    Key: str


def decide_open(command: Open, state: Tally) -> Decision:
    if state.counted:
        raise ValueError(f"{command.Key} is open already")
    return Accepted(events=(Counted(key=command.Key),))


class Pack(Command):
    key: str = Field(alias="Key")
    items: dict[str, Decimal] = Field(alias="Items")


class Look(Command):
    key: str = Field(alias="Key")


class Packed(DomainEvent):
    key: str = Field(alias="Key")
    items: dict[str, Decimal] = Field(alias="Items")


def packed_in(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Packed").and_any_predicate_of(P("Key", key))


def after_packing(_: str, event: DomainEvent) -> str:
    assert isinstance(event, Packed)
    return ", ".join(f"{pieces} {name}" for name, pieces in event.items.items())


box = View(name="box", events=packed_in, initial=lambda _: "nothing", evolve=after_packing)
packing = Domain(
    name=domain.name,
    views=(box,),
    deciders=(
        Decider(
            command=Pack,
            parts=lambda command: box.at(command.key),
            decide=lambda command, _: Accepted(events=(Packed(key=command.key, items=command.items),)),
        ),
        Decider(
            command=Look,
            parts=lambda command: box.at(command.key),
            decide=lambda _, held: Rejected(reason=held),
        ),
    ),
    events=(Packed,),
)

# Cancels the statements that wait for a lock on a table.
_CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'
"""

opening = replace(
    domain,
    deciders=(*domain.deciders, Decider(command=Open, parts=lambda command: tally.at(command.Key), decide=decide_open)),
)


async def letters(client: AmqpClient) -> list[int]:
    return [await client.ready(queue) for queue in (QUEUES.queue, QUEUES.retry_queue, QUEUES.dead_queue)]


async def test_a_command_whose_code_cannot_be_asked_twice_has_its_first_answer(
    store: PostgresEventStore, vhost: str, client: AmqpClient, publisher: Publisher
) -> None:
    async with serving_domain(opening, store, vhost) as service:
        first = await publisher.request("tally", "Open", {"Key": "a"})
        again = await publisher.request("tally", "Open", {"Key": "a"}, command_id=first.command_id)
        assert (first.outcome, first.duplicate) == ("accepted", False)
        assert again == replace(first, duplicate=True)
        # Nobody else has it.
        other = await publisher.request("tally", "Open", {"Key": "a"})
        assert (other.outcome, other.code) == ("failed", "handler_error")
    assert service.counters.ends == {End.ACCEPTED: 1, End.DUPLICATE: 1, End.RETRIED: 2, End.DEAD_LETTERED: 1}
    assert await letters(client) == [0, 0, 1]


async def test_who_recorded_an_event_decides_on_it_as_whoever_reads_it(
    store: PostgresEventStore, vhost: str, publisher: Publisher
) -> None:
    """Also if its view depends on the order of fields, or on how numbers are written."""
    items = {"tea": Decimal("1E+2"), "é": Decimal("-0.0"), "cup": Decimal("2.50"), "z": Decimal(1)}
    told = []
    async with serving_domain(packing, store, vhost):
        await publisher.request("tally", "Pack", {"Key": "a", "Items": items})
        told.append((await publisher.request("tally", "Look", {"Key": "a"})).reason)
    async with serving_domain(packing, store, vhost):
        told.append((await publisher.request("tally", "Look", {"Key": "a"})).reason)
    assert told == ["1 z, 0.0 é, 2.50 cup, 100 tea"] * 2


async def test_a_command_sent_again_with_its_numbers_spelled_otherwise_is_the_same(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    bodies = [b'{"Key": "a", "Items": {"tea": %s}}' % number for number in (b"1", b"1.0", b"10e-1")]
    async with serving_domain(packing, store, vhost) as service:
        first = await client.put(bodies[0], message_type="Pack", reply_to=client.replies)
        answers = [await client.answer()]
        for body in bodies[1:]:
            await client.put(body, message_type="Pack", message_id=first, reply_to=client.replies)
            answers.append(await client.answer())
        await settled(service, 3)
    assert [(answer["outcome"], answer["first"], answer["duplicate"]) for answer in answers] == [
        ("accepted", 1, False),
        ("accepted", 1, True),
        ("accepted", 1, True),
    ]
    assert await letters(client) == [0, 0, 0]


async def test_a_command_with_a_fraction_that_an_older_worker_recorded_has_its_answer(
    store: PostgresEventStore, vhost: str, client: AmqpClient
) -> None:
    body, command_id = b'{"Key": "a", "Items": {"tea": 1.50}}', uuid4()
    told_apart = blake2b(b'Pack\0{"Items":{"tea":1.50},"Key":"a"}', digest_size=16).digest()
    await store.append([], key=command_id, scope=packing.name, digest=told_apart, outcome=ACCEPTED)
    async with serving_domain(packing, store, vhost) as service:
        outcomes = []
        for number in (b"1.50", b"1.5", b"2"):
            sent = body.replace(b"1.50", number)
            await client.put(sent, message_type="Pack", message_id=str(command_id), reply_to=client.replies)
            outcomes.append((await client.answer())["outcome"])
        await settled(service, 3)
    # To the older worker, another spelling was another command.
    assert outcomes == ["accepted", "failed", "failed"]
    assert service.counters.dead_letters == {"id_reused": 2}


async def test_what_was_recorded_by_a_process_that_has_ended_is_answered(
    store: PostgresEventStore, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def decide(_: Isolator, _name: str, message: CommandMessage, **_bounds: Any) -> NoReturn:
        scheduler = Scheduler(store, domain, Settings(), Counters())
        await scheduler.process(message)
        await scheduler.close()
        raise KilledItsProcess("it was killed")

    monkeypatch.setattr(Isolator, "decide", decide)
    async with serving_domain(domain, store, vhost) as service:
        sent = await client.put(
            b'{"Key": "a"}', message_type=Count.__name__, reply_to=client.replies, headers={POISON_HEADER: True}
        )
        answer = await client.answer()
        assert (answer["command_id"], answer["outcome"], answer["first"]) == (sent, "accepted", 1)
        await settled(service, 1)
    assert service.counters.dead_letters == {}
    assert await letters(client) == [0, 0, 0]


async def test_what_is_recorded_after_its_process_was_killed_is_answered(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes on with an append that waits for the lock, whatever becomes of its sender."""
    scheduler = Scheduler(store, domain, Settings(), Counters())
    async with (
        connected(database.admin_url) as admin,
        connected(database.admin_url) as other,
        PostgresEventStore.connect(database.url) as others,
        serving_domain(domain, others, vhost) as service,
    ):
        async with head_locked(database.admin_url):
            left: list[asyncio.Task[Answer]] = []

            async def decide(_: Isolator, _name: str, message: CommandMessage, **_bounds: Any) -> NoReturn:
                left.append(asyncio.create_task(scheduler.process(message)))
                await waiting(other, 1)
                raise KilledItsProcess("it was killed")

            monkeypatch.setattr(Isolator, "decide", decide)
            await client.put(b'{"Key": "a"}', reply_to=client.replies, headers={POISON_HEADER: True})
            # The look-up waits behind the append.
            await waiting(admin, 2)
        answer = await client.answer()
        assert (answer["outcome"], answer["first"]) == ("accepted", 1)
        await asyncio.gather(*left)
        await settled(service, 1)
    await scheduler.close()
    assert service.counters.dead_letters == {}
    assert await letters(client) == [0, 0, 0]


async def test_what_was_recorded_is_answered_also_when_the_database_would_not_say_so_at_first(
    store: PostgresEventStore, database: Database, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(database.admin_url) as admin, connected(database.admin_url) as other:
        unreadable = admin.transaction()
        decided = 0

        async def decide(_: Isolator, _name: str, message: CommandMessage, **_bounds: Any) -> NoReturn:
            nonlocal decided
            decided += 1
            if decided == 1:
                scheduler = Scheduler(store, domain, Settings(), Counters())
                await scheduler.process(message)
                await scheduler.close()
                await unreadable.start()
                await admin.execute("LOCK TABLE eventstore.receipts IN ACCESS EXCLUSIVE MODE")
            raise KilledItsProcess("it was killed")

        async def is_cancelled() -> bool:
            return bool(await other.fetchval(_CANCEL))

        monkeypatch.setattr(Isolator, "decide", decide)
        async with serving_domain(domain, store, vhost) as service:
            await client.put(b'{"Key": "a"}', reply_to=client.replies, headers={POISON_HEADER: True})
            await eventually(is_cancelled, what="the look-up to be cancelled")
            await unreadable.rollback()
            answer = await client.answer()
            assert (answer["outcome"], answer["first"]) == ("accepted", 1)
            await settled(service, 2)
    assert service.counters.ends == {End.RETRIED: 1, End.DUPLICATE: 1}
    assert await letters(client) == [0, 0, 0]


async def test_what_was_recorded_is_answered_also_when_its_look_up_failed_for_an_unknown_reason(
    store: PostgresEventStore, vhost: str, client: AmqpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, failures = PostgresEventStore.receipt, [EventStoreError("something odd", code="XX001")]

    async def receipt(asked: PostgresEventStore, key: UUID, **options: Any) -> Receipt | None:
        if failures:
            raise failures.pop()
        return await look_up(asked, key, **options)

    async def decide(_: Isolator, _name: str, message: CommandMessage, **_bounds: Any) -> NoReturn:
        scheduler = Scheduler(store, domain, Settings(), Counters())
        await scheduler.process(message)
        await scheduler.close()
        monkeypatch.setattr(PostgresEventStore, "receipt", receipt)
        raise KilledItsProcess("it was killed")

    monkeypatch.setattr(Isolator, "decide", decide)
    async with serving_domain(domain, store, vhost) as service:
        await client.put(b'{"Key": "a"}', reply_to=client.replies, headers={POISON_HEADER: True})
        answer = await client.answer()
        assert (answer["outcome"], answer["first"]) == ("accepted", 1)
        await settled(service, 2)
    assert not failures
    assert service.counters.ends == {End.RETRIED: 1, End.DUPLICATE: 1}
    assert await letters(client) == [0, 0, 0]
