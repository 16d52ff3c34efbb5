"""Forgetting a subject again and again while several workers seal for it, on PostgreSQL."""

import asyncio
import json
from contextlib import AsyncExitStack
from uuid import uuid4

from eventstore import SUBJECT_FORGOTTEN, Consistency, Filter, Subject
from eventstore.postgres import PostgresEventStore, forget
from handlers import Reader
from handlers.erasure.sealing import SEALED, key_ids
from tests.support.domains.guests import FORGOTTEN, SETTINGS, domain, everybody, guest, master
from tests.support.fixtures.databases import Database
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler

ADA = Subject("Guest", "ada")
FORGETTINGS = 20
REGISTRATIONS = 240


def registration(name: str) -> CommandMessage:
    identity = uuid4()
    return CommandMessage(
        command_id=identity,
        command_type="Register",
        body=json.dumps({"Guest": "ada", "Name": name}).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )


async def test_nothing_is_ever_sealed_by_a_key_that_is_gone(database: Database) -> None:
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                PostgresEventStore.connect(database.url, replica_urls=database.replica_urls, pool_size=4)
            )
            for _ in range(3)
        ]
        schedulers = [Scheduler(store, domain, SETTINGS) for store in stores]
        reader = Reader(stores[0], domain, master=master())
        for scheduler in schedulers:
            stack.push_async_callback(scheduler.close)
        stack.push_async_callback(reader.close)
        done = registered = 0

        async def register(scheduler: Scheduler) -> None:
            # A busy machine may be slow to forget: there is no end before somebody was forgotten in between.
            nonlocal registered
            while registered < REGISTRATIONS or not done:
                registered += 1
                await scheduler.process(registration(f"Ada {registered}"))

        async def forget_again() -> None:
            nonlocal done
            while done < FORGETTINGS and not all(task.done() for task in working):
                done += (await forget(database.admin_url, ADA)).number is not None

        async with asyncio.TaskGroup() as group:
            working = [group.create_task(register(scheduler)) for scheduler in schedulers for _ in range(4)]
            group.create_task(forget_again())
        events = [event async for event in stores[0].read(Filter.matching_any_event())]
        sealed = [event for event in events if SEALED in event.metadata]
        forgotten = [event.sequence_number for event in events if event.type == SUBJECT_FORGOTTEN]
        assert len(sealed) == registered
        assert forgotten
        keys = await stores[0].subject_keys([key for event in sealed for key in key_ids(event)])
        lost = [
            event.sequence_number
            for event in sealed
            if key_ids(event)[0] not in keys and event.sequence_number > forgotten[-1]
        ]
        assert lost == []
        # Between two forgettings one key seals, and another than before.
        periods = {(sum(number < event.sequence_number for number in forgotten), key_ids(event)[0]) for event in sealed}
        assert len({period for period, _ in periods}) == len(periods) == len({key for _, key in periods})
        await forget(database.admin_url, ADA)
        for part in (guest.at("ada"), everybody.at()):
            assert "Ada" not in str(await reader.state(part, consistency=Consistency.STRONG))
        assert (await reader.state(guest.at("ada"), consistency=Consistency.STRONG)).name == FORGOTTEN
