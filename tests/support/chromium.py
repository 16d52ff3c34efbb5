"""The system's Chromium, for tests that need a real browser."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@asynccontextmanager
async def opened_chromium() -> AsyncIterator[Browser]:
    """Start the browser for the ``async with``; the test is skipped if it is not installed."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        # Chromium's sandbox does not run as root; the pages are trusted.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()
