"""``worker status`` of a command whose trace is known."""

from uuid import uuid4

from eventstore import Event, Outcome, OutcomeKind
from eventstore.postgres import PostgresEventStore
from tests.e2e.program import Worker
from tests.support.fixtures.databases import Database

TRACE = "0af7651916cd43dd8448eb211c80319c"
PAGE = f"http://localhost:16686/trace/{TRACE}"


async def test_a_commands_own_events_and_the_page_of_its_trace_are_told(worker: Worker, database: Database) -> None:
    key, other = uuid4(), uuid4()
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        for command in (other, key, uuid4()):
            outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"trace_id": TRACE} if command == key else {})
            events = [Event(type="Counted", payload={"By": str(command), "Number": number}) for number in range(3)]
            await store.append(events, key=command, outcome=outcome)
    traced = worker.having(WORKER_TRACE_URL="http://localhost:16686/trace/{trace_id}")
    document = (await traced("status", str(key), "--json")).document()
    assert [event["sequence_number"] for event in document["events"]] == [4, 5, 6]
    assert {event["payload"]["By"] for event in document["events"]} == {str(key)}
    assert (document["trace_id"], document["trace_url"]) == (TRACE, PAGE)
    assert PAGE in (await traced("status", str(key))).output
    assert (await traced("status", str(other), "--json")).document()["trace_url"] is None
    untold = await worker("status", str(key))
    assert TRACE in untold.output
    assert "http" not in untold.output


async def test_an_id_that_two_domains_had_is_told_for_both(worker: Worker, database: Database) -> None:
    key = uuid4()
    async with PostgresEventStore.connect(database.url, pool_size=1) as store:
        for domain in ("shop", "library"):
            outcome = Outcome(kind=OutcomeKind.ACCEPTED, details={"domain": domain})
            await store.append([Event(type="Counted", payload={"By": domain})], key=key, scope=domain, outcome=outcome)
    document = (await worker("status", str(key), "--json")).document()
    assert (document["domain"], document["events"][0]["sequence_number"]) == ("library", 2)
    (other,) = document["others"]
    assert (other["domain"], other["events"][0]["sequence_number"]) == ("shop", 1)
    output = (await worker("status", str(key))).output
    assert "library" in output
    assert "shop" in output
