"""Requests to the broker's management API use its address."""

import io
import urllib.request
from typing import Any

import pytest

from worker.amqp.management import ask


@pytest.mark.parametrize("place", ["mq:15672", "[::1]:15672", "[::1]", "mq"])
def test_hosts_of_every_form_are_supported(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    asked: list[str] = []

    def opened(request: urllib.request.Request, **_: Any) -> io.BytesIO:
        asked.append(request.full_url)
        return io.BytesIO(b"[]")

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    assert ask(f"http://app:secret@{place}", "queues") == []
    assert asked == [f"http://{place}/api/queues"]
