"""The web program on a real stack: what people see of commands, of read models, and of servers that are away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from eventstore import Position, PositionNotReached
from examples.library_web.library_web.connections import SHELF_EVENTS
from handlers import Part, Reader
from handlers.library import domain
from handlers.library.lend_book_copy import LendBookCopyToReader
from handlers.reader import Answer
from tests.integration.web.site import Site, browser, form_of, in_process, served
from tests.support.fixtures.environment import Environment
from tests.support.fixtures.vhosts import Management, made_vhost
from tests.support.serving import serving_domain
from tests.support.tcp_proxy import proxy
from worker.amqp.connection import Link
from worker.amqp.declaration import declare
from worker.topology import Topology

# One start for all of them, in one process.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("library_web")]


async def test_a_person_sees_the_book_that_was_just_lent_and_then_returned(site: Site) -> None:
    (book_id, title), reader_id = await site.book(), await site.reader()
    async with browser(site.address) as client:
        page = await client.get("/", params={"reader": reader_id})
        assert f"Name of {reader_id}</strong>" in page.text
        form = form_of(page, book_id)
        assert form.action == "/lend"
        page = await client.post(form.action, data=form.fields)
        assert f"“{title}” was lent." in page.text
        assert "has 1 book at home, and may take 9 more" in page.text
        form = form_of(page, book_id)
        assert (form.action, form.fields["reader_id"]) == ("/return", reader_id)
        page = await client.post(form.action, data=form.fields)
        assert f"“{title}” was returned." in page.text
        assert form_of(page, book_id).action == "/lend"
    assert page.headers["cache-control"] == "no-store"


async def test_a_form_that_is_sent_twice_at_once_is_one_command(site: Site) -> None:
    (book_id, title), reader_id = await site.book(), await site.reader()
    async with browser(site.address) as client:
        form = form_of(await client.get("/", params={"reader": reader_id}), book_id)
        both = await asyncio.gather(*(client.post(form.action, data=form.fields) for _ in range(2)))
        assert all(f"“{title}” was lent." in page.text for page in both)
        later = await client.post(form.action, data=form.fields)
        assert f"“{title}” was lent. The form had been sent before" in later.text
    assert len(await site.lendings(book_id)) == 1


async def test_a_rejection_is_told_with_its_reason(site: Site) -> None:
    (book_id, title), (reader_id, other) = await site.book(), (await site.reader(), await site.reader())
    async with browser(site.address) as client:
        form = form_of(await client.get("/", params={"reader": reader_id}), book_id)
        await site.decides(LendBookCopyToReader(book_id=book_id, reader_id=other))
        page = await client.post(form.action, data=form.fields)
    assert f"“{title}” was not lent: book is lent to another reader." in page.text


async def test_a_form_that_is_sent_again_for_another_reader_is_told_so(site: Site) -> None:
    (book_id, _), (reader_id, other) = await site.book(), (await site.reader(), await site.reader())
    async with browser(site.address) as client:
        form = form_of(await client.get("/", params={"reader": reader_id}), book_id)
        await client.post(form.action, data=form.fields)
        page = await client.post(form.action, data=form.fields | {"reader_id": other})
    assert page.status_code == httpx.codes.CONFLICT
    assert "This form was sent before" in page.text
    assert len(await site.lendings(book_id)) == 1


async def test_without_an_answer_a_command_can_be_looked_up_and_sent_again(
    site: Site, stack_environment: Environment, management: Management
) -> None:
    (book_id, title), reader_id = await site.book(), await site.reader()
    fields = {"command_id": str(uuid4()), "book_id": book_id, "reader_id": reader_id}
    looked_up = f"/commands/{fields['command_id']}"
    with made_vhost(stack_environment, management) as amqp_url:
        # Long enough to connect and to have it stored, also on a busy machine.
        impatient = replace(site.settings, amqp_url=amqp_url, answer_seconds=3.0)
        async with in_process(impatient) as client:
            page = await client.post("/lend", data=fields)
            assert page.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert "Nobody takes commands yet" in page.text
            link = Link(amqp_url, name="queues", prepare=lambda channel: declare(channel, Topology(domain.name)))
            await link.wire()
            await link.close()
            page = await client.post("/lend", data=fields)
            assert page.status_code == httpx.codes.GATEWAY_TIMEOUT
            assert "It may still be decided" in page.text
            assert fields["command_id"] in page.text
            assert looked_up in page.text
            assert (await client.get(looked_up)).status_code == httpx.codes.NOT_FOUND
        async with (
            serving_domain(domain, site.store, amqp_url),
            in_process(replace(site.settings, amqp_url=amqp_url)) as client,
        ):
            again = form_of(page, book_id)
            assert again.fields["command_id"] == fields["command_id"]
            seen = await client.post("/lend", data=again.fields, follow_redirects=True)
            assert f"“{title}” was lent." in seen.text
            assert "accepted" in (await client.get(looked_up)).text
    assert len(await site.lendings(book_id)) == 1


async def test_a_broker_that_is_away_is_one_sentence_and_the_command_can_be_sent_again(site: Site) -> None:
    (book_id, title), reader_id = await site.book(), await site.reader()
    fields = {"command_id": str(uuid4()), "book_id": book_id, "reader_id": reader_id}
    async with (
        proxy(site.settings.amqp_url) as way,
        in_process(replace(site.settings, amqp_url=way.url, answer_seconds=0.5)) as client,
    ):
        way.hold()
        page = await client.post("/lend", data=fields)
        way.go_on()
    assert page.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "its message broker does not answer" in page.text
    async with browser(site.address) as client:
        again = form_of(page, book_id)
        assert f"“{title}” was lent." in (await client.post("/lend", data=again.fields)).text
    assert len(await site.lendings(book_id)) == 1


async def test_a_database_that_is_away_is_one_sentence(site: Site) -> None:
    async with (
        proxy(site.settings.database_url) as way,
        in_process(replace(site.settings, database_url=way.url, replica_urls=())) as client,
    ):
        assert (await client.get("/")).status_code == httpx.codes.OK
        await way.close()
        way.cut()
        pages = await asyncio.gather(client.get("/"), client.get(f"/commands/{uuid4()}"))
    for page in pages:
        assert page.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "its database does not answer" in page.text
        assert "Traceback" not in page.text


async def test_a_page_waits_for_what_it_is_to_show_and_says_so_where_that_does_not_come(site: Site) -> None:
    (book_id, title), reader_id = await site.book(), await site.reader()
    fields = {"command_id": str(uuid4()), "book_id": book_id, "reader_id": reader_id}
    connection = await asyncpg.connect(site.database.admin_url)
    try:
        async with in_process(replace(site.settings, seen_seconds=0.05)) as hasty, browser(site.address) as patient:
            async with connection.transaction():
                held = await connection.fetchval(
                    "SELECT 'projection_' || follower_id FROM reading.followers WHERE name = 'books-lent-out'"
                )
                await connection.execute(f"LOCK TABLE {held}.books_lent_out IN EXCLUSIVE MODE")
                waiting = asyncio.create_task(patient.post("/lend", data=fields))
                page = await hasty.post("/lend", data=fields, follow_redirects=True)
                assert f"“{title}” was lent." in page.text
                assert 'role="status">The list is a moment behind' in page.text
                assert form_of(await hasty.get("/", params={"reader": reader_id}), book_id).action == "/lend"
                assert not waiting.done()
            page = await waiting
    finally:
        await connection.close()
    assert f"“{title}” was lent." in page.text
    assert 'role="status" hidden>The list' in page.text
    assert form_of(page, book_id).action == "/return"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
    ids=lambda headers: " ".join(next(iter(headers.items()))),
)
async def test_a_form_of_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    fields = {"command_id": str(uuid4()), "book_id": "b", "reader_id": "r"}
    async with browser(site.address) as client:
        assert (await client.post("/lend", data=fields, headers=headers)).status_code == httpx.codes.FORBIDDEN
        assert (await client.get("/", headers={"Host": "elsewhere.example"})).status_code == httpx.codes.BAD_REQUEST


async def test_a_form_of_its_own_page_is_taken(site: Site) -> None:
    fields = {"command_id": str(uuid4()), "book_id": "no such book", "reader_id": await site.reader()}
    async with browser(site.address) as client:
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": site.address}):
            page = await client.post("/lend", data=fields, headers=headers)
            assert "was not lent: book is not in circulation" in page.text


async def test_what_is_missing_or_cannot_be_read_is_told(site: Site) -> None:
    async with browser(site.address) as client:
        page = await client.post("/lend", data={"command_id": str(uuid4()), "book_id": "b", "reader_id": " "})
        assert page.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert "Choose a reader first" in page.text
        page = await client.get("/", params={"reader": "a\0"})
        assert page.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        page = await client.get("/", params={"reader": "<b>", "search": "no such title"})
        assert "No reader “&lt;b&gt;” is registered." in page.text
        assert "No book is found." in page.text


async def test_a_position_of_no_history_is_waited_for_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Anybody can write a position into an address.
    seen = Position(number=10**9, token=1)
    asked: list[Position | None] = []
    answer = Reader.answer

    async def noted(self: Reader, part: Part[Any], *, min_position: Position | None = None) -> Answer[Any]:
        asked.append(min_position)
        if min_position is not None:
            raise PositionNotReached("it is not in any history")
        return await answer(self, part)

    monkeypatch.setattr(Reader, "answer", noted)
    async with in_process(replace(site.settings, seen_seconds=0.05)) as client:
        page = await client.get("/", params={"seen": str(seen), "reader": "r"})
    assert page.status_code == httpx.codes.OK
    assert 'role="status">The list is a moment behind' in page.text
    assert (asked.count(seen), asked.count(None)) == (1, 3)


async def told(stream: AsyncIterator[str]) -> Position:
    """The next position that a stream of events tells."""
    async with asyncio.timeout(60):
        async for line in stream:
            if line.startswith("data: "):
                return Position.parse(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def test_browsers_are_told_of_every_change_also_of_one_while_they_were_away(site: Site) -> None:
    before = (await site.store.latest(SHELF_EVENTS, limit=1)).position
    async with browser(site.address) as client, client.stream("GET", f"/changes?seen={before}") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        book_id, _ = await site.book()
        at = await told(lines)
        while at.number <= before.number:
            at = await told(lines)
        await site.decides(LendBookCopyToReader(book_id=book_id, reader_id=await site.reader()))
        assert (await told(lines)).number > at.number
    headers = {"Last-Event-ID": str(at)}
    async with (
        browser(site.address) as client,
        client.stream("GET", f"/changes?seen={before}", headers=headers) as response,
    ):
        assert (await told(response.aiter_lines())).number > at.number


async def test_a_server_that_stops_ends_the_streams(site: Site) -> None:
    async with asyncio.timeout(60), browser(site.address) as client:
        async with served(site.settings) as (address, _):
            response = await client.send(client.build_request("GET", f"{address}/changes"), stream=True)
        # To their end: one that is broken off raises.
        assert all(
            line == "" or line.startswith(("data: ", "id: ")) for line in [x async for x in response.aiter_lines()]
        )
        await response.aclose()
