"""Dispatch: publishes checked commands, many at a time, and collects their answers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from eventstore.counted import counted
from worker.cli.submission import Submission
from worker.errors import BrokerError, NoReply
from worker.message import Reply
from worker.publisher import Publisher

__all__ = ["Answer", "NotAllPublished", "dispatch"]

# Enough for confirmations to share the broker's disk writes.
_AT_ONCE = 64


class NotAllPublished(Exception):
    """Raised by ``dispatch`` when the broker stopped accepting commands.

    Attributes:
        cause: The error of the command that failed first.
    """

    def __init__(self, stored: int, total: int, cause: BrokerError) -> None:
        super().__init__(
            f"{stored:,} of {counted(total, 'command')} {'was' if stored == 1 else 'were'} stored before this error; "
            "publishing again repeats those without an id."
        )
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of publishing one command.

    Attributes:
        command_id: The id it was published with.
        reply: The worker's reply; None if it was not waited for or did not arrive.
        outcome: ``published``, ``scheduled``, ``no answer``, or the outcome of the reply.
    """

    command_id: UUID
    reply: Reply | None = None
    outcome: str = "published"

    @property
    def reason(self) -> str | None:
        """Why it was rejected or failed; None without a reason."""
        return self.reply.reason if self.reply else None

    @property
    def is_bad(self) -> bool:
        """Whether the command failed or was not answered in time."""
        return self.outcome in {"failed", "no answer"}

    def text(self) -> str:
        """The result in a line, for people."""
        if self.reply is None:
            return self.outcome if self.outcome == "published" else f"{self.outcome}: it may still be processed"
        words = [self.outcome if self.reason is None else f"{self.outcome}: {self.reason}"]
        if self.reply.first is not None:
            single = self.reply.first == self.reply.last
            words.append(f"event {self.reply.first}" if single else f"events {self.reply.first} to {self.reply.last}")
        if self.reply.duplicate:
            words.append("answered before")
        return ", ".join(words)

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON object, for programs."""
        if self.reply is None:
            return {"command_id": self.command_id, "outcome": self.outcome}
        position = self.reply.position
        return {
            "command_id": self.command_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "first": self.reply.first,
            "last": self.reply.last,
            "position": None if position is None else str(position),
            "duplicate": self.reply.duplicate,
        }


async def dispatch(
    publisher: Publisher,
    submissions: Sequence[Submission],
    *,
    wait: bool,
    at: datetime | None = None,
    timeout: float,  # noqa: ASYNC109  for each command, and the publisher applies it
    done: Callable[[], None],
) -> list[Answer]:
    """Publish every command, a limited number at a time.

    Args:
        publisher: The publisher.
        submissions: The commands.
        wait: Whether to wait for each reply.
        at: When they are to be sent; None for at once.
        timeout: For each command, in seconds.
        done: Called after each command.

    Returns:
        The answers, in the order of the commands.

    Raises:
        NotAllPublished: The broker could not be reached, or no queue exists because no worker has served the domain.
    """
    answers: list[Answer | None] = [None] * len(submissions)
    remaining = iter(enumerate(submissions))

    async def send_some() -> None:
        for index, submission in remaining:
            answers[index] = await _send(publisher, submission, wait=wait, at=at, timeout=timeout)
            done()

    senders = [asyncio.create_task(send_some()) for _ in range(min(_AT_ONCE, len(submissions)))]
    try:
        await asyncio.gather(*senders)
    except BrokerError as error:
        stored = sum(answer is not None for answer in answers)
        raise NotAllPublished(stored, len(submissions), error) from error
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    return [answer for answer in answers if answer is not None]


async def _send(
    publisher: Publisher,
    submission: Submission,
    *,
    wait: bool,
    at: datetime | None,
    timeout: float,  # noqa: ASYNC109  as above
) -> Answer:
    command_id = submission.command_id or uuid4()
    what = (submission.domain_name, submission.command_type, submission.body)
    key = submission.affinity_key
    if at is not None:
        await publisher.schedule(*what, at, command_id=command_id, affinity_key=key, timeout=timeout)
        return Answer(command_id=command_id, outcome="scheduled")
    if not wait:
        await publisher.publish(*what, command_id=command_id, affinity_key=key, timeout=timeout)
        return Answer(command_id=command_id)
    try:
        reply = await publisher.request(*what, command_id=command_id, affinity_key=key, timeout=timeout)
    except NoReply:
        return Answer(command_id=command_id, outcome="no answer")
    return Answer(command_id=command_id, reply=reply, outcome=reply.outcome)
