"""``worker publish``."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import typer

from eventstore.counted import counted
from worker.cli.age import age
from worker.cli.dispatch import Answer, NotAllPublished, dispatch
from worker.cli.exporting import exporting
from worker.cli.loop import run_async
from worker.cli.submission import Submission, Submissions, identity
from worker.cli.terminal import print_json, progress_bar, table, tell
from worker.errors import BrokerUnavailable
from worker.failures import Mistake, sentence
from worker.message import BadMessage
from worker.owners import named
from worker.publisher import Publisher
from worker.schedule.deliver_at import DELIVER_AT_HEADER, LONGEST_DELAY, read_deliver_at
from worker.served_domains import served_domains
from worker.settings import Settings

__all__ = ["publish"]

_SILENT_SECONDS = 2.0


def publish(
    command: Annotated[str | None, typer.Argument(metavar="COMMAND", help="The command's name.")] = None,
    body: Annotated[
        str | None, typer.Argument(metavar="JSON", help="Its body; - reads it from standard input.")
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help='Publish a file: one {"type": ..., "body": {...}, "id": optional} a line.'),
    ] = None,
    command_id: Annotated[
        str | None, typer.Option("--id", metavar="UUID", help="The command's id; the same id takes effect once.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="The command's domain; by default found by the command's name.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome, and print it.")] = False,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Send it later: at a time such as 2027-01-31T18:00:00+01:00.")
    ] = None,
    delay: Annotated[
        str | None, typer.Option("--in", metavar="AGE", help="Send it later: in 30m, 36h, 90d, 12w from now.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="How long to wait until each command is stored or, with --wait, answered.",
        ),
    ] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a command.")] = False,
) -> None:
    """Publish a command, or a file of commands. All are checked first: if one is wrong, none is published.

    With --wait, the exit status is 1 when a command failed or was not answered in time. Scheduled commands are stored
    and sent by `worker schedule run`.
    """
    when = _when(at, delay)
    if when is not None and wait:
        raise Mistake("a scheduled command cannot be waited for: leave out --wait, or --at and --in.")
    settings = Settings.load(needs=("amqp_url", "worker_domains"))
    checked = Submissions(named(served_domains(settings), domain), settings)
    if file is not None:
        if command is not None or command_id is not None:
            raise Mistake("a file names its own commands and ids; leave out COMMAND and --id, or --file.")
        submissions = checked.lines(_lines(file))
    elif command is None or body is None:
        raise Mistake("name the COMMAND and its JSON, or pass --file commands.ndjson.")
    else:
        text = sys.stdin.buffer.read() if body == "-" else body.encode(errors="surrogateescape")
        # Its id is known here, so that it can be told whatever becomes of it.
        submissions = [checked.single(command, text, identity(command_id) or uuid4())]
    # What is known is shown first: a collector that does not answer is waited for.
    with exporting():
        answers = _send(settings, submissions, wait=wait, at=when, timeout=timeout, show_progress=file is not None)
        _show(answers, json=json, wait=wait, at=when, summed_up=file is not None)
    failed = [answer.command_id for answer in answers if answer.outcome == "failed"]
    if failed:
        which = str(failed[0]) if len(failed) == 1 else "ID"
        typer.echo(f"A failed command is a dead letter: `worker dead-letters show {which}` shows all of it.", err=True)
    unanswered = [answer.command_id for answer in answers if answer.outcome == "no answer"]
    if unanswered:
        which = str(unanswered[0]) if len(unanswered) == 1 else "ID"
        typer.echo(
            f"`worker check` shows whether a worker takes what waits; `worker status {which}` shows an outcome that "
            "comes later.",
            err=True,
        )
    if any(answer.is_bad for answer in answers):
        raise typer.Exit(1)


def _send(
    settings: Settings,
    submissions: Sequence[Submission],
    *,
    wait: bool,
    at: datetime | None,
    timeout: float,
    show_progress: bool,
) -> list[Answer]:
    finished: int | None = None

    async def send(advance: Callable[[int], None]) -> list[Answer]:
        def done() -> None:
            nonlocal finished
            finished = (finished or 0) + 1
            advance(1)

        nonlocal finished
        async with Publisher.connect(settings.amqp_url, name="worker publish") as publisher:
            finished = 0
            with _telling_of_the_wait(timeout, is_wanted=wait and not show_progress):
                return await dispatch(publisher, submissions, wait=wait, at=at, timeout=timeout, done=done)

    try:
        with progress_bar("publishing", len(submissions), is_wanted=show_progress) as advance:
            return run_async(send(advance))
    except NotAllPublished as stopped:
        raise Mistake(f"{sentence(stopped.cause)}\n{_what_to_do(stopped, len(submissions))}".rstrip()) from stopped
    except KeyboardInterrupt:
        if finished is not None:
            typer.echo(_interrupted(submissions, finished, wait=wait), err=True)
        raise


@contextmanager
def _telling_of_the_wait(timeout: float, *, is_wanted: bool) -> Iterator[None]:
    """Tell a person at a terminal what is waited for, once that has taken a while."""
    if not (is_wanted and sys.stderr.isatty()):
        yield
        return
    text = f"Waiting for the answer, for {timeout:g} s at most. Ctrl-C ends the wait; the command stays."
    notice = asyncio.get_running_loop().call_later(_SILENT_SECONDS, partial(typer.echo, text, err=True))
    try:
        yield
    finally:
        notice.cancel()


def _when(at: str | None, delay: str | None) -> datetime | None:
    """Return when commands are to be sent; None for at once.

    Raises:
        Mistake: The time is invalid, or more than ten years ahead, or both options are given.
    """
    if at is None and delay is None:
        return None
    if at is not None and delay is not None:
        raise Mistake("say when, or in how long: leave out --at or --in.")
    now = datetime.now(UTC)
    try:
        when = now + age(delay) if delay is not None else read_deliver_at({DELIVER_AT_HEADER: at})
    except BadMessage:
        when = None
    if when is None:
        raise Mistake(f"{at!r} is not a time with an offset: write it as 2027-01-31T18:00:00+01:00, or Z for UTC.")
    if when - now > LONGEST_DELAY:
        raise Mistake(f"{when:%Y-%m-%d} is more than ten years ahead: choose an earlier time.")
    return when


def _what_to_do(stopped: NotAllPublished, count: int) -> str:
    """Return how to repeat commands that may have arrived, without having them decided twice."""
    if count > 1:
        return str(stopped)
    return _again(stopped.cause.command_id) if isinstance(stopped.cause, BrokerUnavailable) else ""


def _again(command_id: UUID | None) -> str:
    return (
        "The command may have been stored nevertheless; to send it again without a second effect, pass --id "
        f"{command_id}."
    )


def _interrupted(submissions: Sequence[Submission], finished: int, *, wait: bool) -> str:
    """Return what is known of interrupted commands: the broker may have taken more than it has confirmed."""
    if len(submissions) == 1:
        return f"Interrupted. {_again(submissions[0].command_id)}"
    what = "answered" if wait else "stored"
    return (
        f"Interrupted. {finished:,} of {counted(len(submissions), 'command')} {'was' if finished == 1 else 'were'} "
        f"{what} before; more may have been stored. Publishing again repeats those without an id."
    )


def _show(answers: Sequence[Answer], *, json: bool, wait: bool, at: datetime | None, summed_up: bool) -> None:
    if json:
        for answer in answers:
            print_json(answer.document(), indent=False)
    elif not summed_up:
        for answer in answers:
            tell(f"{answer.command_id}  {answer.text()}" if wait else str(answer.command_id))
    elif not wait:
        what = "published" if at is None else f"scheduled for {at:%Y-%m-%d %H:%M:%S} UTC"
        tell(f"{counted(len(answers), 'command is', 'commands are')} {what}.")
    else:
        counts = Counter((answer.outcome, answer.reason or "") for answer in answers)
        listing = table("outcome", "commands", "reason")
        for (outcome, reason), count in sorted(counts.items()):
            listing.add_row(outcome, f"{count:,}", reason)
        tell(listing)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}.") from error
