"""Projections of events with Sensitive fields: no row ever shows a value, so that forgetting has none to delete."""

import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from eventstore import Subject
from eventstore.postgres import PostgresEventStore, forget
from handlers import Change, DomainEvent, Projected, Projection, Reader, Table
from tests.integration.reading.projecting import coordinating, reached, rows
from tests.support.domains.guests import FORGOTTEN, SETTINGS, GuestRegistered, domain, guest, master
from tests.support.fixtures.databases import Database
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler

_NAMES = Table("names", columns={"guest": str, "name": str}, key=("guest",))
_ROWS = "SELECT guest, name FROM read_guests.names"


def _changes(seen: Projected[DomainEvent]) -> Sequence[Change]:
    match seen.event:
        case GuestRegistered(guest=registered, name=name):
            return [_NAMES.upsert(guest=registered, name=name)]
        case _:
            return []


PROJECTED = replace(
    domain,
    projections=(
        Projection(name="names", events=guest.at("ada").filter, tables=(_NAMES,), changes=_changes, version=1),
    ),
)


async def test_a_row_has_the_replacement_from_the_beginning(database: Database) -> None:
    identity = uuid4()
    message = CommandMessage(
        command_id=identity,
        command_type="Register",
        body=json.dumps({"Guest": "ada", "Name": "Ada Lovelace"}).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )
    async with PostgresEventStore.connect(database.url) as store:
        scheduler = Scheduler(store, PROJECTED, SETTINGS)
        await scheduler.process(message)
        await scheduler.close()
        reader = Reader(store, PROJECTED, master=master())
        answer = await reader.answer(guest.at("ada"))
        assert answer.state.name == "Ada Lovelace"
        async with coordinating(database.url, PROJECTED):
            await reached(database.url, answer.position, projection="guests.names")
            assert await rows(database.url, _ROWS) == [("ada", FORGOTTEN)]
            await forget(database.admin_url, Subject("Guest", "ada"))
            answer = await reader.answer(guest.at("ada"))
            await reached(database.url, answer.position, projection="guests.names")
            assert await rows(database.url, _ROWS) == [("ada", FORGOTTEN)]
        await reader.close()
