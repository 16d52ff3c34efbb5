"""The output of ``worker publish``. What is sent is replaced by a given answer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from dynamic_streams_worker import main
from worker.cli import publish
from worker.cli.dispatch import Answer


def test_the_answer_is_shown_before_the_collector_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    @contextmanager
    def exporting() -> Iterator[None]:
        yield
        shown.append(capsys.readouterr().out)

    answer = Answer(command_id=uuid4())
    monkeypatch.setattr(publish, "exporting", exporting)
    monkeypatch.setattr(publish, "_send", lambda *_, **__: [answer])
    monkeypatch.setenv("AMQP_URL", "amqp://user:password@localhost/")
    monkeypatch.setenv("WORKER_DOMAINS", "tests.support.domains.bells:domain")
    monkeypatch.setattr(sys, "argv", ["worker", "publish", "Ring", '{"Bell": "a"}'])
    with pytest.raises(SystemExit):
        main()
    assert shown == [f"{answer.command_id}\n"]
