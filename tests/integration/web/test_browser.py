"""The web program in a real browser: what others do shows without a reload."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.integration.web.site import Site
from tests.support.chromium import opened_chromium

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("library_web")]
_MILLISECONDS = 30_000


@pytest_asyncio.fixture(loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """The system's browser."""
    async with opened_chromium() as browser:
        yield browser


async def test_a_book_that_is_lent_shows_in_another_window_without_a_reload(site: Site, chromium: Browser) -> None:
    (book_id, title), reader_id = await site.book("A book that is looked at"), await site.reader()
    desk, shelf = await chromium.new_page(), await chromium.new_page()
    complaints: list[str] = []
    for page in (desk, shelf):
        page.set_default_timeout(_MILLISECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.goto(f"{site.address}/?reader={reader_id}")
        await expect(page.locator("#live")).to_have_text("Live", timeout=_MILLISECONDS)
    # Were it loaded again, this would be gone.
    await shelf.evaluate("window.isSame = true")
    await shelf.get_by_role("button", name=f"Lend “{title}”").focus()
    await desk.get_by_role("button", name=f"Lend “{title}”").click()
    await expect(desk.get_by_role("status").first).to_have_text(f"“{title}” was lent.", timeout=_MILLISECONDS)
    copy = shelf.locator(f"#book-{book_id}")
    await expect(copy).to_contain_text(f"Lent to Name of {reader_id}", timeout=_MILLISECONDS)
    await expect(shelf.locator("#reader-card")).to_contain_text("has 1 book at home", timeout=_MILLISECONDS)
    # Who was at the button that was replaced is at the one in its place, and whoever does not see it hears of it.
    await expect(copy.get_by_role("button", name=f"Return “{title}”")).to_be_focused(timeout=_MILLISECONDS)
    await expect(shelf.locator("#told")).to_contain_text(f"{title}: Lent to", timeout=_MILLISECONDS)
    added, _ = await site.book("Another one that is added meanwhile")
    await expect(shelf.locator(f"#book-{added}")).to_be_visible(timeout=_MILLISECONDS)
    assert await shelf.evaluate("window.isSame")
    assert complaints == []
