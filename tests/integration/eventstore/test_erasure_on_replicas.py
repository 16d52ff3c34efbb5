"""Forgetting beside a replica that lags: nobody is shown what was forgotten, however long it lags."""

import json
from uuid import uuid4

from eventstore import Consistency, Subject
from eventstore.postgres import PostgresEventStore, forget
from handlers import Reader
from tests.integration.eventstore.cluster import Replicated
from tests.integration.eventstore.staging import connected
from tests.support.domains.guests import FORGOTTEN, SETTINGS, domain, greetings, guest, master
from tests.support.fixtures.waiting import eventually
from worker.message import CommandMessage
from worker.rounds.scheduler import Scheduler

ADA = Subject("Guest", "ada")


async def register(store: PostgresEventStore) -> None:
    identity = uuid4()
    message = CommandMessage(
        command_id=identity,
        command_type="Register",
        body=json.dumps({"Guest": "ada", "Name": "Ada Lovelace"}).encode(),
        correlation_id="visit",
        causation_id=str(identity),
        headers={},
    )
    scheduler = Scheduler(store, domain, SETTINGS)
    await scheduler.process(message)
    await scheduler.close()


async def test_neither_a_kept_nor_a_stored_state_shows_what_a_lagging_replica_does_not_know_to_be_forgotten(
    replicated: Replicated,
) -> None:
    async with (
        PostgresEventStore.connect(replicated.url, replica_urls=replicated.replica_urls[:1]) as store,
        connected(replicated.admin_url) as admin,
    ):
        await register(store)
        kept, stored = (Reader(store, domain, master=master()) for _ in range(2))
        assert (await kept.state(guest.at("ada"))).name == "Ada Lovelace"

        async def is_stored() -> bool:
            return bool(await admin.fetchval("SELECT count(*) = 1 FROM eventstore.states"))

        await eventually(is_stored, what="the state to be stored")
        await replicated.follow()

        async def replica_answers() -> bool:
            return (await store.query(guest.at("ada").filter, consistency=Consistency.EVENTUAL)).replica

        async with replicated.paused(replicated.replicas[0]):
            await eventually(replica_answers, what="the replica to answer")
            assert (await forget(replicated.admin_url, ADA)).states == 1
            for reader in (kept, stored):
                assert (await reader.state(guest.at("ada"))).name == FORGOTTEN
            # What shows no personal value is still the replica's to answer.
            before = store.read_counts.primary
            await kept.state(greetings.at("ada"))
            assert store.read_counts.primary == before
        await kept.close()
        await stored.close()
