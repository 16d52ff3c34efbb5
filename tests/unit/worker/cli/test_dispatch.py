"""Commands are sent concurrently, answers are returned in order, and each is printed in a line."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest

from eventstore import Position
from worker.cli.dispatch import Answer, NotAllPublished, dispatch
from worker.cli.submission import Submission
from worker.errors import BrokerUnavailable, NoReply, Unroutable
from worker.message import Reply, ReplyOutcome
from worker.publisher import Publisher

ID = UUID(int=7)


def reply(outcome: ReplyOutcome, **fields: Any) -> Reply:
    return Reply(command_id=ID, outcome=outcome, **fields)


def submissions(count: int) -> list[Submission]:
    return [
        Submission(domain_name="lamps", command_type="SwitchOn", body={"number": number}, command_id=None)
        for number in range(count)
    ]


class Broker:
    """A publisher whose answers the test chooses."""

    def __init__(self, answer: Callable[[int], Exception | None]) -> None:
        self._answer = answer
        self.sent: list[int] = []
        self.under_way = self.most = 0

    async def publish(
        self,
        _: str,
        __: str,
        body: dict[str, int],
        *,
        command_id: UUID | None,
        affinity_key: str | None,
        timeout: float,  # noqa: ASYNC109
    ) -> UUID:
        assert command_id is not None
        assert affinity_key is None
        assert timeout == 3.0
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        # Earlier commands are answered later.
        for _turn in range(200 - body["number"]):
            await asyncio.sleep(0)
        self.under_way -= 1
        if (error := self._answer(body["number"])) is not None:
            raise error
        self.sent.append(body["number"])
        return command_id

    async def request(self, *what: Any, **how: Any) -> Reply:
        command_id = await self.publish(*what, **how)
        return Reply(command_id=command_id, outcome="accepted", first=what[2]["number"], last=what[2]["number"])


async def dispatched(broker: Broker, count: int, *, wait: bool = True) -> tuple[list[Answer], int]:
    done: list[None] = []
    answers = await dispatch(
        cast("Publisher", broker), submissions(count), wait=wait, timeout=3.0, done=lambda: done.append(None)
    )
    return answers, len(done)


async def test_answers_are_in_the_order_of_their_commands() -> None:
    broker = Broker(lambda _: None)
    answers, done = await dispatched(broker, 150)
    assert [answer.reply.first for answer in answers if answer.reply] == list(range(150))
    assert broker.sent != sorted(broker.sent)
    assert done == 150
    assert 1 < broker.most <= 64


async def test_without_waiting_each_command_has_its_own_id() -> None:
    answers, _ = await dispatched(Broker(lambda _: None), 3, wait=False)
    assert len({answer.command_id for answer in answers}) == 3
    assert {answer.outcome for answer in answers} == {"published"}


async def test_a_command_without_an_answer_does_not_stop_others() -> None:
    answers, _ = await dispatched(Broker(lambda number: NoReply("…") if number == 1 else None), 3)
    assert [answer.outcome for answer in answers] == ["accepted", "no answer", "accepted"]


async def test_a_broker_that_refuses_commands_ends_it_and_the_count_is_reported() -> None:
    broker = Broker(lambda number: BrokerUnavailable("it is down") if number == 100 else None)
    with pytest.raises(NotAllPublished) as raised:
        await dispatched(broker, 150)
    assert isinstance(raised.value.cause, BrokerUnavailable)
    stored = len(broker.sent)
    assert 0 < stored < 150
    assert str(raised.value).startswith(f"{stored} of 150 commands were stored before this error; ")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_domain_without_workers_ends_it() -> None:
    with pytest.raises(NotAllPublished) as raised:
        await dispatched(Broker(lambda _: Unroutable("no queue")), 1)
    assert isinstance(raised.value.cause, Unroutable)


@pytest.mark.parametrize(
    ("answer", "text", "is_bad"),
    [
        (Answer(command_id=ID), "published", False),
        (Answer(command_id=ID, outcome="no answer"), "no answer: it may still be processed", True),
        (
            Answer(command_id=ID, outcome="accepted", reply=reply("accepted", first=3, last=3)),
            "accepted, event 3",
            False,
        ),
        (
            Answer(command_id=ID, outcome="accepted", reply=reply("accepted", first=3, last=5, duplicate=True)),
            "accepted, events 3 to 5, answered before",
            False,
        ),
        (Answer(command_id=ID, outcome="unchanged", reply=reply("unchanged")), "unchanged", False),
        (
            Answer(command_id=ID, outcome="rejected", reply=reply("rejected", reason="broken", first=1, last=1)),
            "rejected: broken, event 1",
            False,
        ),
        (Answer(command_id=ID, outcome="failed", reply=reply("failed", reason="too large")), "failed: too large", True),
    ],
)
def test_each_answer_is_printed_in_a_line(answer: Answer, text: str, is_bad: bool) -> None:  # noqa: FBT001  a parametrised case
    assert (answer.text(), answer.is_bad) == (text, is_bad)


def test_json_has_the_full_answer() -> None:
    position = Position(number=5, token=9)
    answer = Answer(command_id=ID, outcome="accepted", reply=reply("accepted", first=5, last=5, position=position))
    assert answer.document() == {
        "command_id": ID,
        "outcome": "accepted",
        "reason": None,
        "first": 5,
        "last": 5,
        "position": "5:9",
        "duplicate": False,
    }
    assert Answer(command_id=ID).document() == {"command_id": ID, "outcome": "published"}
