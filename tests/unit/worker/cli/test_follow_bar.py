"""The bars of followers that catch up, as a terminal shows them."""

import asyncio
import re
from typing import Any

import pytest

from tests.support.fixtures.waiting import eventually
from worker.cli.follow_bar import _show
from worker.reading.metrics import Figures

HEAD = 1_000_000_000
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


async def test_a_bar_shows_count_rate_and_time_left_until_the_follower_has_caught_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    number, shown = 0, ""

    def figures() -> list[Figures]:
        nonlocal number
        number += 1000
        made: dict[str, Any] = {"kind": "projection", "version": 1, "events": 0, "behind_seconds": 1.0}
        return [
            Figures(name="ledger.balances", number=number, head=HEAD, is_stopped=False, **made),
            Figures(name="ledger.others", number=HEAD, head=HEAD, is_stopped=False, **made),
        ]

    async def is_told() -> bool:
        nonlocal shown
        shown += _STYLE.sub("", capsys.readouterr().err)
        return re.search(r"[1-9][0-9,]* a second +\d+:\d\d:\d\d", shown) is not None

    stop = asyncio.Event()
    showing = asyncio.create_task(_show([figures], stop))
    await eventually(is_told, what="the rate and the time left to be shown")
    stop.set()
    await showing
    assert "ledger.balances" in shown
    assert f"/{HEAD}" in shown
    assert "ledger.others" not in shown
