"""The console's pages on real servers."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from opentelemetry.context import attach, detach

from eventstore.postgres import PostgresEventStore, Session
from tests.support.amqp_client import AmqpClient
from tests.support.browser import Browser
from tests.support.dead_letters import GOOD, failure_headers, letters, make_queues, put_dead_letters
from tests.support.domains.tally import domain
from tests.support.facts import fact
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management
from tests.support.serving import QUEUES, serving, settled
from worker.console.access import Access
from worker.console.app import application
from worker.console.console import Console
from worker.publisher import Publisher
from worker.reading.administration import pause
from worker.reading.followers import Failure, FollowerName, FollowerRow, Followers
from worker.reading.lease import Candidate
from worker.rounds.forwarding import OWN_ID_HEADER
from worker.schedule.scheduled import Scheduled, ScheduledCommands
from worker.settings import Settings
from worker.telemetry.trace_context import extracted

HOUR = timedelta(hours=1)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def opened(settings: Settings, *, allow_actions: bool = False) -> tuple[Console, Browser]:
    console = Console.of(settings, (domain,), allow_actions=allow_actions)
    return console, Browser(app=application(console, Access()))


@pytest.fixture
def settings(database: Database, vhost: str, management: Management) -> Settings:
    return Settings(
        database_url=database.url,
        amqp_url=vhost,
        rabbitmq_management_url=management.address,
        worker_trace_url="http://traces.example/{trace_id}",
    )


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    console, browser = opened(settings, allow_actions=True)
    yield browser
    await console.queues.close()


@pytest.fixture
async def queues(vhost: str) -> None:
    await make_queues(vhost)


async def test_the_overview_counts_what_is_in_the_queues(
    settings: Settings, browser: Browser, vhost: str, client: AmqpClient
) -> None:
    assert "tally has no queues yet" in (await browser.get("/")).seen
    await make_queues(vhost)
    await put_dead_letters(client, 2)
    for _ in range(3):
        await client.put(GOOD)
    await client.holds(QUEUES.queue, 3)
    # Another one has not looked yet.
    console, another = opened(settings)
    assert re.search(r"tally 3 0 2 0( [\d.]+){3} Workers", (await another.get("/")).seen)
    await console.queues.close()


async def test_a_command_is_told_with_its_events_and_leads_to_others_like_them(
    store: PostgresEventStore, vhost: str, publisher: Publisher, browser: Browser
) -> None:
    command_id = uuid4()
    async with serving(store, vhost) as service:
        token = attach(extracted({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}))
        await publisher.request("tally", "Count", {"Key": "a<b"}, command_id=command_id)
        detach(token)
        await settled(service, 1)
    answer = await browser.get(f"/commands?id={command_id}")
    assert "Count accepted domain tally" in answer.seen
    assert f'href="http://traces.example/{TRACE}"' in answer.text
    assert 'Counted Key= "a<b"' in answer.seen
    (link,) = re.findall(r'href="(/events\?where=[^"]*)"', answer.text)
    events = await browser.get(link.replace("&amp;", "&"))
    assert 'Counted Key= "a<b" Count' in events.seen
    assert f'href="/commands?id={command_id}"' in events.text
    nobody = await browser.get(f"/commands?id={uuid4()}")
    assert "No answer to this command is recorded" in nobody.seen


async def test_events_are_shown_page_by_page_in_both_directions(store: PostgresEventStore, browser: Browser) -> None:
    await store.append([fact(Book="b" if n % 2 else "c", N=n) for n in range(240)])

    async def numbers(address: str) -> tuple[list[int], dict[str, str]]:
        answer = await browser.get(address)
        shown = [int(n) for n in re.findall(r'<tr><td class="number">(\d+)</td>', answer.text)]
        links = re.findall(r'<a href="([^"]*)"(?: rel="\w+")?>(older|newer|the first|the last)</a>', answer.text)
        return shown, {name: link.replace("&amp;", "&") for link, name in links}

    last, links = await numbers('/events?where=Book="b"')
    assert last == list(range(142, 241, 2))
    assert set(links) == {"the first", "older", "the last"}
    middle, links = await numbers(links["older"])
    assert middle == list(range(42, 141, 2))
    first, links = await numbers(links["older"])
    assert (first, "older" in links) == (list(range(2, 41, 2)), False)
    again, _ = await numbers(links["newer"])
    assert again == list(range(42, 141, 2))
    begin, links = await numbers(links["the first"])
    assert begin == list(range(2, 101, 2))
    assert "newer" in links


@pytest.mark.usefixtures("queues")
async def test_letters_are_looked_at_chosen_replayed_and_discarded(
    store: PostgresEventStore, vhost: str, client: AmqpClient, browser: Browser
) -> None:
    first, second, third = await put_dead_letters(
        client, 3, headers=failure_headers(traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    )
    listed = await browser.get("/dead-letters")
    assert "3 dead letters: handler_error 3." in listed.seen
    one = await browser.get(f"/dead-letters/tally/{second}")
    assert "reason handler_error error because" in one.seen
    assert GOOD.decode() in one.seen
    assert f'href="http://traces.example/{TRACE}"' in one.text
    form = {"token": listed.fields()["token"][0], "domain": "tally"}
    asked = await browser.post("/dead-letters", {**form, "action": "discard", "id": [first, second]})
    assert "Discard 2 dead letters of tally?" in asked.seen
    assert len(await letters(vhost)) == 3
    done = await browser.post("/dead-letters", {**asked.fields(), "action": "discard"})
    assert "2 of 2 were discarded" in done.seen
    asked = await browser.post("/dead-letters", {**form, "action": "replay", "id": third})
    async with serving(store, vhost) as service:
        done = await browser.post("/dead-letters", {**asked.fields(), "action": "replay"})
        assert "1 of 1 was replayed" in done.seen
        await settled(service, 1)
    assert [receipt.key for receipt in await store.receipts_of(UUID(third))] == [UUID(third)]
    assert await letters(vhost) == []
    gone = await browser.post("/dead-letters", {**asked.fields(), "action": "replay"})
    assert "None of these letters is in the queue any more" in gone.seen


@pytest.mark.usefixtures("queues")
async def test_a_letter_whose_repetition_would_not_be_recognised_is_left(
    vhost: str, client: AmqpClient, browser: Browser
) -> None:
    (assigned,) = await put_dead_letters(client, 1, headers={**failure_headers(), OWN_ID_HEADER: True})
    form = {"token": (await browser.get("/dead-letters")).fields()["token"], "domain": ["tally"], "confirmed": ["yes"]}
    done = await browser.post("/dead-letters", {**form, "action": "replay", "id": assigned})
    assert "0 of 1 were replayed" in done.seen
    assert "published without an id" in done.seen
    assert len(await letters(vhost)) == 1


@pytest.mark.usefixtures("queues")
async def test_a_console_that_only_looks_offers_nothing_else(settings: Settings, client: AmqpClient) -> None:
    (letter,) = await put_dead_letters(client, 1)
    _, browser = opened(settings)
    for address in ("/dead-letters", f"/dead-letters/tally/{letter}"):
        answer = await browser.get(address)
        assert (answer.status, letter in answer.text) == (200, True)
        assert 'method="post"' not in answer.text
        assert "token" not in answer.text
    assert "There is no dead letter" in (await browser.get("/dead-letters/tally/nobody")).seen


async def test_followers_of_all_kinds_are_shown(database: Database, browser: Browser) -> None:
    session = Session(database.admin_url, purpose="followers of a test")
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        await _added(followers, "projection", "counts")
        number, fence = await _added(followers, "reaction", "alarm")
        failure = Failure(number=3, event_type="Counted", error="no such table", trace="in line 7")
        assert await followers.fail(number, fence, failure)
    await session.close()
    seen = (await browser.get("/followers")).seen
    assert "Projections in" in seen
    assert "tally.counts 1 running 0 0 process of counts" in seen
    assert "Reactions in" in seen
    assert "tally.alarm 1 stopped by event 3" in seen
    assert "no such table in line 7" in seen


async def test_a_paused_follower_is_behind_the_log_as_it_is_now(
    database: Database, store: PostgresEventStore, browser: Browser
) -> None:
    session = Session(database.admin_url, purpose="followers of a test")
    async with session.transaction() as transaction:
        await _added(Followers(transaction), "projection", "counts")
    await pause(session, FollowerName(kind="projection", domain="tally", name="counts"))
    await session.close()
    await store.append([fact(N=n) for n in range(3)])
    assert "tally.counts 1 paused 0 3" in (await browser.get("/followers")).seen


async def test_followers_of_one_database_are_shown_while_another_one_is_away(
    database: Database, settings: Settings
) -> None:
    session = Session(database.admin_url, purpose="followers of a test")
    async with session.transaction() as transaction:
        followers = Followers(transaction)
        number, fence = await _added(followers, "projection", "counts")
        failure = Failure(number=3, event_type="Counted", error="no such table", trace="in line 7")
        assert await followers.fail(number, fence, failure)
    await session.close()
    nobody = "postgresql://worker@127.0.0.1:1/elsewhere"
    both = replace(
        settings,
        worker_domains="tests.support.domains.tally:domain,tests.support.domains.jars:domain",
        domain_databases={"DATABASE_URL_JARS": nobody},
    )
    console, browser = opened(both)
    page = await browser.get("/followers")
    assert "tally.counts 1 stopped by event 3" in page.seen
    assert "in 127.0.0.1:1/elsewhere" in page.seen
    # Whose log it is must be said where there are several.
    assert "/events?domain=tally&amp;after=2" in page.text
    await console.queues.close()


async def test_a_follower_is_paused_resumed_and_goes_on_without_an_event(database: Database, browser: Browser) -> None:
    session = Session(database.admin_url, purpose="followers of a test")
    name = FollowerName(kind="reaction", domain="tally", name="alarm")

    async def row() -> FollowerRow:
        async with session.transaction() as transaction:
            (found,) = await Followers(transaction).of(name)
            return found

    async def done(action: str, **fields: str) -> str:
        form = {each: values[0] for each, values in (await browser.get("/followers")).fields().items()}
        asked = await browser.post("/followers", {**form, "action": action})
        assert f"{action.capitalize()} " in asked.seen
        before = await row()
        answer = await browser.post("/followers", {**asked.fields(), "action": action, **fields})
        # A question changes nothing.
        assert (before.paused_at, before.failure) == (state.paused_at, state.failure)
        return answer.seen

    async with session.transaction() as transaction:
        number, fence = await _added(Followers(transaction), name.kind, name.name)
    state = await row()
    assert "tally.alarm is paused." in await done("pause")
    state = await row()
    assert state.paused_at is not None
    assert "tally.alarm continues." in await done("resume")
    failure = Failure(number=3, event_type="Counted", error="no such table", trace="in line 7")
    async with session.transaction() as transaction:
        assert await Followers(transaction).fail(number, fence, failure)
    state = await row()
    for nothing in ("", " "):
        assert "The reason is missing" in await done("skip", reason=nothing)
    assert "tally.alarm continues without event 3." in await done("skip", reason="recorded by mistake")
    async with session.transaction() as transaction:
        (skipped,) = await Followers(transaction).skipped(name, 1)
    assert (skipped.reason, skipped.skipped_by) == ("recorded by mistake", "console, from 127.0.0.1")
    state = await row()
    assert state.failure is None
    await session.close()


async def test_what_is_scheduled_is_shown_and_cancelled(database: Database, browser: Browser) -> None:
    assert "No scheduled command waits." in (await browser.get("/schedule")).seen
    commands = ScheduledCommands(Session(database.url, purpose="test"))
    await commands.register("tally")
    lease = await commands.take("tally", Candidate("test"))
    assert lease is not None
    first, second = uuid4(), uuid4()
    scheduled = [
        Scheduled(command_id=each, command_type="Count", due_at=datetime.now(UTC) + HOUR, properties=b"", body=b"{}")
        for each in (first, second)
    ]
    await commands.put(lease, "tally", scheduled)
    page = await browser.get("/schedule")
    assert f"{first} Count tally" in page.seen
    form = {each: values[0] for each, values in page.fields().items()}
    asked = await browser.post("/schedule", {**form, "action": "cancel", "id": f"tally/{first}"})
    assert "Cancel 1 scheduled command?" in asked.seen
    assert len(await commands.waiting(None, 9)) == 2
    done = await browser.post("/schedule", {**asked.fields(), "action": "cancel"})
    assert "1 of 1 was cancelled." in done.seen
    assert [each.command_id for each in await commands.waiting(["tally"], 9)] == [second]
    again = await browser.post("/schedule", {**asked.fields(), "action": "cancel"})
    assert f"{first} does not wait any more" in again.seen
    await commands.close()


async def _added(followers: Followers, kind: str, name: str) -> tuple[int, int]:
    number = await followers.add(
        FollowerName(kind=kind, domain="tally", name=name), version=1, layout=b"", is_current=True
    )
    fence = await followers.take(number, f"process of {name}", 60.0)
    assert fence is not None
    return number, fence
