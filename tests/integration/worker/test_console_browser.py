"""The console in a real browser: it renews itself in place, within its own policy, and fits into a narrow window."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from playwright.async_api import Page, expect

from tests.support.chromium import opened_chromium
from tests.support.reports import part, report
from worker.console.access import Access
from worker.console.app import application
from worker.console.console import Console
from worker.console.service import _Server
from worker.reporting.report import encode
from worker.settings import Settings

_MILLISECONDS = 30_000


@asynccontextmanager
async def served(console: Console) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Serve a console; yields its address, and its server, which can be told to stop."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = application(console, Access())
        server = _Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        server.should_exit = True
        await serving


@pytest.fixture
def console() -> Console:
    # Nobody listens there: what cannot be reached is part of what is shown.
    return Console.of(Settings(amqp_url="amqp://a:b@127.0.0.1:1/x"), (), allow_actions=True)


def complaints_of(page: Page) -> list[str]:
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    page.set_default_timeout(_MILLISECONDS)
    return found


async def test_the_overview_renews_itself_without_a_reload_and_says_when_it_cannot(console: Console) -> None:
    async with opened_chromium() as chromium, served(console) as (address, server):
        page = await chromium.new_page()
        complaints = complaints_of(page)
        await page.goto(address)
        await page.evaluate("window.isSame = true")
        console.workers.take(encode(report(host="<i>alpha</i>", domains=(), parts=[part("b1")])))
        await expect(page.locator("main")).to_contain_text("<i>alpha</i>", timeout=_MILLISECONDS)
        await expect(page.locator("main i")).to_have_count(0)
        assert complaints == []
        server.should_exit = True
        await expect(page.locator("#stale")).to_be_visible(timeout=_MILLISECONDS)
        await expect(page.locator("main")).to_contain_text("<i>alpha</i>")
        assert await page.evaluate("window.isSame")


async def test_every_page_fits_into_a_narrow_window_in_light_and_dark(console: Console) -> None:
    console.workers.take(encode(report(host="h" * 80, domains=(), parts=[part("k" * 80)])))
    async with opened_chromium() as chromium, served(console) as (address, _):
        page = await chromium.new_page()
        complaints = complaints_of(page)
        await page.set_viewport_size({"width": 360, "height": 740})
        for path in ("/", "/commands", "/events", "/followers", "/dead-letters"):
            await page.goto(address + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
        backs = []
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            backs.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert backs == ["rgb(255, 255, 255)", "rgb(15, 19, 24)"]
        assert complaints == []
