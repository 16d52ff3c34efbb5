"""``worker dead-letters list | show | replay | discard``."""

from collections import Counter, deque
from datetime import datetime
from typing import Annotated

import typer

from eventstore.counted import counted
from worker.amqp.dead_queue import DeadQueue
from worker.amqp.sender import Sender
from worker.chosen_stores import domain_names
from worker.cli.dead_letters.scan import Choice, counting, scan
from worker.cli.dead_letters.tables import kinds, rows, show_whole
from worker.cli.dead_letters.treatment import Treatment, chosen, tell_each
from worker.cli.loop import run_async
from worker.cli.options import Json, Yes
from worker.cli.stores import in_turn
from worker.cli.terminal import print_json, tell
from worker.dead_letters.left import explained, left_behind
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.replay import Bounds, LetterFilter, Progress
from worker.dead_letters.replay import discard as remove
from worker.dead_letters.replay import replay as send
from worker.dead_letters.selection import Judgement, Rules
from worker.errors import MessageRefused
from worker.settings import Settings
from worker.stores import stores_of

__all__ = ["discard", "list_letters", "replay", "show"]

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="The letters' message ids.")]
Domain = Annotated[str | None, typer.Option(help="Only this domain's letters.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only letters of this reason; repeat for more.")]
Commands = Annotated[list[str] | None, typer.Option("--command", help="Only letters of this command; repeat for more.")]
Older = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only letters that died longer ago than this: 30m, 36h, 90d.")
]
Younger = Annotated[
    str | None, typer.Option(metavar="AGE", help="Only letters that died more recently than this: 30m, 36h, 90d.")
]
All = Annotated[bool, typer.Option("--all", help="Every letter.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


def list_letters(
    *,
    domain: Domain = None,
    reason: Reasons = None,
    command: Commands = None,
    older_than: Older = None,
    younger_than: Younger = None,
    limit: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="How many of the newest letters to show; all are counted.")
    ] = 100,
    json: Json = False,
) -> None:
    """List dead letters, the newest last, and count them by reason. Listing removes none and keeps their order."""
    choice = Choice.of(
        Settings.load(needs=("amqp_url",)),
        domain=domain,
        reasons=reason or (),
        commands=command or (),
        older_than=older_than,
        younger_than=younger_than,
    )
    newest: deque[DeadLetter] = deque(maxlen=limit)
    with counting("looking") as progress:
        found = run_async(scan(choice, lambda letter: newest.append(letter.without_content()), progress=progress))
    if json:
        counts = {
            "total": found.total,
            "unseen": found.unseen,
            "matching": found.meant,
            "reasons": found.reasons(),
        }
        print_json({"letters": [letter.summary() for letter in newest], **counts})
    elif not found.meant:
        tell("There are no dead letters." if not found.total else f"None of {counted(found.seen, 'dead letter')} fits.")
    else:
        if newest:
            tell(rows(newest, now=choice.asked_at, with_domain=len(found.there) > 1))
            tell()
        tell(kinds(found.kinds))
        tell()
        letters = counted(found.total, "dead letter")
        fitting = f"{found.meant:,} of {letters} fit" if found.meant < found.total else letters
        newest_alone = f"; shown are the newest {len(newest):,}" if len(newest) < found.meant else ""
        tell(f"{fitting}{newest_alone}.")
    if not json:
        tell_each(found.absent(choice.selection))
    if found.unseen and not json:
        tell(found.unseen_told())


def show(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's message id, as it is listed.")],
    *,
    domain: Domain = None,
    json: Json = False,
) -> None:
    """Show everything about a dead letter: why and when it died, its headers, its body. It stays in place.

    Exit status 1 when there is no such letter.
    """
    choice = Choice.of(Settings.load(needs=("amqp_url",)), domain=domain, ids=[message_id])
    letters: list[DeadLetter] = []
    with counting("looking") as progress:
        found = run_async(scan(choice, letters.append, progress=progress))
    if json:
        print_json([letter.document() for letter in letters])
    elif not letters and found.unseen:
        tell(f"{message_id} is not among the dead letters that could be read. {found.unseen_told()}")
    elif not letters:
        tell(f"There is no dead letter {message_id}; `worker dead-letters list` shows those that are there.")
    for letter in () if json else letters:
        show_whole(letter)
    if not letters:
        raise typer.Exit(1)


def replay(
    ids: Ids = None,
    *,
    every: All = False,
    domain: Domain = None,
    reason: Reasons = None,
    command: Commands = None,
    older_than: Older = None,
    younger_than: Younger = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, metavar="NUMBER", help="At most this many letters a second.")
    ] = None,
    assign_id: Annotated[
        bool,
        typer.Option(
            "--assign-id",
            help="Also replay letters that were published without an id, under the id that the worker assigned.",
        ),
    ] = False,
    even_if_forgotten: Annotated[
        bool,
        typer.Option(
            "--even-if-forgotten",
            help="Also replay letters older than the receipts that `worker db prune` deleted; a command that was "
            "answered before is decided again.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Send dead letters to their queue again, with their id, trace and reply queue; more than one after asking.

    A letter is removed when the broker has stored its copy. If the command is interrupted, nothing is lost: run it
    again to continue with the rest. Letters that die again meanwhile are left. Exit status 1 when some of the selected
    letters are left for a reason, some could not be read, or the answer was no.
    """
    settings = Settings.load(needs=("amqp_url",) if even_if_forgotten else ("amqp_url", "database_url"))
    choice = chosen(
        settings, ids or (), every, domain, reasons=reason, commands=command, older=older_than, younger=younger_than
    )
    rules = Rules(
        since=choice.asked_at,
        receipts_since={} if even_if_forgotten else _receipts_since(settings, choice, domain),
        assign_ids=assign_id,
        even_if_forgotten=even_if_forgotten,
    )

    refused: list[MessageRefused] = []

    async def act(queue: DeadQueue, wanted: LetterFilter, bounds: Bounds, progress: Progress) -> None:
        sender = Sender(settings.amqp_url, name="worker dead-letters replay")
        try:
            await sender.open()
            await send(queue, sender, wanted, bounds, progress=progress, refused=refused.append)
        finally:
            await sender.close()

    treatment = Treatment(
        choice=choice,
        participle="replayed",
        wanted=lambda letter: rules.judge(letter) is Judgement.REPLAY,
        act=act,
        asks_for_one=False,
    )
    judged: Counter[Judgement] = Counter()
    plan = treatment.plan(lambda letter: judged.update([rules.judge(letter)]))
    left = {judgement.value: count for judgement, count in judged.items() if judgement is not Judgement.REPLAY}
    if not json:
        for judgement, count in judged.items():
            if judgement is not Judgement.REPLAY:
                tell(explained(judgement, count, rules))
    done = treatment.carry_out(plan, dry_run=dry_run, yes=yes, rate=rate, silent=json)
    if refused:
        left["refused"] = len(refused)
        if not json:
            tell(left_behind(len(refused), refused[0]))
    if json:
        counts = {"matching": plan.found.meant, "replayed": done or 0, "left": left, "dry_run": dry_run}
        print_json(counts)
    if plan.found.unseen and not ids:
        left["unseen"] = plan.found.unseen
    if done is None or (not dry_run and (left or done < plan.kinds.total())):
        raise typer.Exit(1)


def _receipts_since(settings: Settings, choice: Choice, domain: str | None) -> dict[str, datetime]:
    """Return the time from which on receipts are kept, for each selected domain whose older ones were deleted."""
    from eventstore.postgres import receipts_since  # noqa: PLC0415  the other commands here need no database

    meant = [topology.domain_name for topology in choice.topologies]
    found: dict[str, datetime] = {}
    stores = stores_of(settings, domain_names(settings, domain) or meant, only=domain)
    for store in stores:
        with in_turn(store, stores, silent=True):
            since = run_async(receipts_since(store.database_url, schema=store.database_schema))
        found |= {} if since is None else dict.fromkeys(store.domains, since)
    return found


def discard(
    ids: Ids = None,
    *,
    every: All = False,
    domain: Domain = None,
    reason: Reasons = None,
    command: Commands = None,
    older_than: Older = None,
    younger_than: Younger = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove dead letters for good, after asking.

    Exit status 1 when some of the selected letters are left, some could not be read, or the answer was no.
    """
    settings = Settings.load(needs=("amqp_url",))
    choice = chosen(
        settings, ids or (), every, domain, reasons=reason, commands=command, older=older_than, younger=younger_than
    )

    async def act(queue: DeadQueue, wanted: LetterFilter, bounds: Bounds, progress: Progress) -> None:
        await remove(queue, wanted, bounds, progress=progress)

    treatment = Treatment(
        choice=choice,
        participle="discarded",
        wanted=lambda letter: letter.was_dead_by(choice.asked_at),
        act=act,
        asks_for_one=True,
    )
    plan = treatment.plan()
    done = treatment.carry_out(plan, dry_run=dry_run, yes=yes, silent=json)
    if json:
        print_json({"matching": plan.found.meant, "discarded": done or 0, "dry_run": dry_run})
    if done is None or (not dry_run and (done < plan.kinds.total() or (plan.found.unseen and not ids))):
        raise typer.Exit(1)
