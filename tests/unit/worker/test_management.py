"""Requests to the broker's management API use its address."""

import io
import urllib.request
from typing import Any

import pytest

from deploy.local.ports import free_port
from worker.amqp.management import ask
from worker.errors import BrokerUnavailable


def test_an_interface_that_does_not_answer_is_named_with_the_reason_in_words() -> None:
    port = free_port()
    with pytest.raises(BrokerUnavailable) as raised:
        ask(f"http://app:secret@127.0.0.1:{port}", "queues")
    assert str(raised.value) == (
        f"RabbitMQ's management interface at 127.0.0.1:{port} does not answer: connection refused; correct "
        "RABBITMQ_MANAGEMENT_URL"
    )


@pytest.mark.parametrize("place", ["mq:15672", "[::1]:15672", "[::1]", "mq"])
def test_hosts_of_every_form_are_supported(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    asked: list[str] = []

    def opened(request: urllib.request.Request, **_: Any) -> io.BytesIO:
        asked.append(request.full_url)
        return io.BytesIO(b"[]")

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    assert ask(f"http://app:secret@{place}", "queues") == []
    assert asked == [f"http://{place}/api/queues"]
