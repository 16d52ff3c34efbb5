"""The pages without any server: known workers, and the parts that cannot be reached."""

from typing import Any
from uuid import uuid4

import pytest

from eventstore import Position
from tests.support.browser import Browser
from tests.support.reports import part, report
from worker.console.access import Access
from worker.console.app import application
from worker.console.console import Console
from worker.console.pages import followers
from worker.console.payloads import shown_fields
from worker.console.rendering import bars, duration, latency, rate
from worker.reading.followers import Failure, FollowerName, FollowerRow
from worker.reading.state import state_of
from worker.reporting.report import DomainReport, encode
from worker.settings import Settings
from worker.stores import StoreSettings

# A port without a listener.
NOWHERE = "127.0.0.1:1"
HOSTILE = "<script>alert('1')</script>\"&\u202e"


@pytest.fixture
def console() -> Console:
    settings = Settings(
        amqp_url=f"amqp://a:b@{NOWHERE}/x", database_url=f"postgresql://a:b@{NOWHERE}/x", worker_report_interval=2.0
    )
    return Console.of(settings, (), allow_actions=True)


@pytest.fixture
def browser(console: Console) -> Browser:
    return Browser(app=application(console, Access()))


async def test_the_overview_shows_workers_and_that_the_broker_is_unreachable(
    console: Console, browser: Browser
) -> None:
    console.workers.take(encode(report("a", "alpha", parts=[part("b1", conflicts=1)])))
    console.workers.take(encode(report("b", "beta", ended=True, ready=False, state="stopped")))
    console.workers.take(encode(report("c", "beta", ready=False, state="paused until the database answers")))
    console.workers.take(b"no report")
    seen = (await browser.get("/")).seen
    assert "Workers 2 running" in seen
    assert "settled conflicts a second, over the last 120 s: none" in seen
    assert "alpha 7 consuming library" in seen
    assert "beta 7 stopped" in seen
    assert "paused until the database answers" in seen
    assert "library.book b1 10 0.5 1" in seen
    assert f"RabbitMQ at {NOWHERE} is out of reach" in seen
    assert "1 message that came to worker.reports was not a report" in seen


async def test_texts_from_messages_are_escaped(console: Console, browser: Browser) -> None:
    hostile: dict[str, Any] = {"version": HOSTILE, "state": HOSTILE, "domains": (DomainReport(name=HOSTILE),)}
    console.workers.take(encode(report("a", HOSTILE, parts=[part(HOSTILE, view=HOSTILE)], **hostile)))
    for address in ("/", f"/events?where={HOSTILE}&types={HOSTILE}&since={HOSTILE}", f"/commands?id={HOSTILE}"):
        text = (await browser.get(address.replace("&\u202e", "%26%E2%80%AE"))).text
        assert "<script>alert" not in text, address
        assert "&lt;script&gt;" in text, address
        # Characters that change the writing direction are escaped.
        assert "\u202e" not in text
        assert "\\u202e" in text


async def test_a_page_refreshes_itself_with_and_without_scripts(browser: Browser) -> None:
    text = (await browser.get("/")).text
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in text
    assert '<main data-refresh="2">' in text
    # A page with a form is not refreshed: the input would be lost.
    for address in ("/commands", "/events", "/dead-letters"):
        text = (await browser.get(address)).text
        assert "refresh" not in text


async def test_an_unreachable_database_is_reported_in_place_of_its_data(browser: Browser) -> None:
    for address in (f"/commands?id={uuid4()}", "/events", "/followers"):
        answer = await browser.get(address)
        assert answer.status == 200
        assert "PostgreSQL cannot be reached" in answer.seen
        assert "correct DATABASE_URL." in answer.seen
        assert "Overview" in answer.text


async def test_without_a_database_the_page_says_which_setting_is_missing() -> None:
    console = Console.of(Settings(amqp_url=f"amqp://a:b@{NOWHERE}/x"), (), allow_actions=False)
    seen = (await Browser(app=application(console, Access())).get("/events")).seen
    assert "DATABASE_URL is not set" in seen


@pytest.mark.parametrize(
    ("address", "status", "told"),
    [
        ("/commands?id=7", 400, "This is not a UUID"),
        ("/events?where=a", 200, "The condition 'a' is no condition: write Key=value"),
        ("/events?since=soon", 200, "since 'soon' is not a time"),
        ("/events?after=-1", 200, "after is the number of an event"),
        ("/events?before=99999999999999999999999", 200, "before is the number of an event"),
        ("/dead-letters/nobody/x", 404, "No worker serves a domain nobody"),
        ("/nothing", 404, "There is no such page"),
    ],
)
async def test_a_user_error_is_reported_in_a_sentence(browser: Browser, address: str, status: int, told: str) -> None:
    answer = await browser.get(address)
    assert (answer.status, told in answer.seen) == (status, True), answer.seen


async def test_a_bug_shows_no_traceback_on_the_page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(followers, "_followers", fails)
    answer = await browser.get("/followers")
    # The server logs it.
    assert [str(bug) for bug in browser.bugs] == ["secret"]
    assert (answer.status, "secret" in answer.text, "its log has the error" in answer.seen) == (500, False, True)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def follower(**changes: Any) -> FollowerRow:
    chosen: dict[str, Any] = {
        "follower_id": 1,
        "name": FollowerName(kind="relay", domain="library", name="all"),
        "version": 1,
        "layout": b"",
        "is_current": True,
        "position": Position(number=90, token=1),
        "head": 100,
        "moved_at": None,
        "owner": "w",
        "fence": 1,
        "is_leased": True,
        "lease_end": 0.0,
        "paused_at": None,
        "failure": None,
        "diverged_at": None,
        "diverged_from": None,
        "trail": (),
        "now": report().started_at,
    }
    return FollowerRow(**(chosen | changes))


async def test_followers_of_every_kind_are_shown_with_their_errors(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = Failure(number=91, event_type="Lent", error="no such row", trace="line 1")
    projection = FollowerName(kind="projection", domain="library", name="loans")
    rows = [
        follower(),
        follower(name=projection, failure=failure, is_leased=False),
        follower(name=projection, is_current=False, paused_at=report().started_at),
        follower(
            name=FollowerName(kind="schedule", domain="library", name="commands"), position=Position(number=0, token=0)
        ),
    ]

    async def found(*_: str) -> list[FollowerRow]:
        return rows

    async def head(_: object) -> int:
        return 120

    monkeypatch.setattr(followers, "_followers", found)
    monkeypatch.setattr(followers, "_head", head)
    seen = (await browser.get("/followers")).seen
    assert "Relays in 127.0.0.1:1" in seen
    assert "library.all 1 running 90 30" in seen
    assert "Projections in" in seen
    assert "library.loans 1 stopped by event 91 90 30" in seen
    assert "Event 91 (Lent): no such row line 1" in seen
    # The log's head is that of now, and not the one that a row had when it was written.
    assert "library.loans 1 paused 90 30" in seen
    assert "library.commands 1 running w" in seen


async def test_a_follower_is_not_called_up_to_date_when_its_log_cannot_be_read(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*_: str) -> list[FollowerRow]:
        return [follower(head=90, is_leased=False)]

    monkeypatch.setattr(followers, "_followers", found)
    page = await browser.get("/followers")
    assert f"How far the log in {NOWHERE}/x is now is not known" in page.seen
    assert "PostgreSQL cannot be reached" in page.seen
    assert '<td class="number">90</td><td class="number"></td>' in page.text


@pytest.mark.parametrize(("domain", "behind"), [("tally", "30"), ("jars", "10"), ("of-another-program", "")])
async def test_a_follower_is_compared_with_the_log_of_its_domain(
    domain: str, behind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*_: str) -> list[FollowerRow]:
        return [follower(name=FollowerName(kind="relay", domain=domain, name="all"), head=90)]

    async def head(store: StoreSettings) -> int:
        return 120 if store.domains == ("tally",) else 100

    monkeypatch.setattr(followers, "_followers", found)
    monkeypatch.setattr(followers, "_head", head)
    settings = Settings(
        amqp_url=f"amqp://a:b@{NOWHERE}/x",
        database_url=f"postgresql://a:b@{NOWHERE}/x",
        projections_url=f"postgresql://a:b@{NOWHERE}/all",
        domain_databases={"DATABASE_URL_JARS": f"postgresql://a:b@{NOWHERE}/jars"},
        worker_domains="tests.support.domains.tally:domain,tests.support.domains.jars:domain",
    )
    page = await Browser(app=application(Console.of(settings, (), allow_actions=False), Access())).get("/followers")
    assert f'<td class="number">90</td><td class="number{" warn" if behind else ""}">{behind}</td>' in page.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ("good", "running")),
        ({"is_current": False}, ("good", "being built")),
        ({"is_leased": False}, ("bad", "no process runs it")),
        ({"diverged_from": 7}, ("bad", "stopped: the log was rewritten from event 7 on")),
        ({"diverged_at": report().started_at}, ("bad", "derived from a lost history")),
    ],
)
def test_a_follower_has_the_right_status(changes: dict[str, Any], told: tuple[str, str]) -> None:
    assert state_of(follower(**changes)) == told


def test_a_field_links_to_events_with_its_value() -> None:
    plain, odd, nested, long = shown_fields({"BookID": "b 1&", "a=b": 1, "List": [1], "Text": "x" * 500}, domain="d")
    assert (plain.text, plain.link) == ('"b 1&"', "/events?where=BookID%3D%22b+1%26%22&domain=d")
    assert (odd.link, nested.link, nested.text, long.link, len(long.text)) == (None, None, "[1]", None, 401)


def test_numbers_are_formatted_for_reading() -> None:
    assert [rate(each) for each in (None, 0.0, 0.25, 9.94, 12345.6)] == ["", "0", "0.2", "9.9", "12,346"]
    assert [latency(each) for each in (0.0042, 2.0, float("inf"))] == ["4.2 ms", "2.00 s", "over 60 s"]
    assert [duration(each) for each in (5, 65, 3700, 90000)] == ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]


def test_bars_fill_the_chart_and_nonzero_values_are_visible() -> None:
    laid = bars([0, 0.001, 5, 10], width=40, height=100, most=10)
    assert [(each["x"], each["y"], each["height"]) for each in laid] == [
        ("10.0", "99.0", "1.0"),
        ("20.0", "50.0", "50.0"),
        ("30.0", "0.0", "100.0"),
    ]
    assert bars([0.0, 0.0], width=40, height=100, most=0) == []
