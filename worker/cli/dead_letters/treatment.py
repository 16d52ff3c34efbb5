"""The treatment: what is done with many dead letters, after counting them and asking for consent."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from eventstore.counted import counted
from worker.amqp.dead_queue import DeadQueue
from worker.cli.consent import agreed
from worker.cli.dead_letters.scan import Choice, Found, Kinds, counting, kind, scan
from worker.cli.dead_letters.tables import kinds
from worker.cli.loop import run_async
from worker.cli.terminal import tell
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.replay import Bounds, LetterFilter, Progress
from worker.errors import BrokerError
from worker.failures import Mistake, sentence
from worker.printable import printable
from worker.settings import Settings

__all__ = ["Plan", "Treatment", "chosen", "tell_each"]


def chosen(
    settings: Settings,
    ids: Sequence[str],
    every: bool,  # noqa: FBT001  typer's flags are booleans
    domain: str | None,
    *,
    reasons: Sequence[str] | None,
    commands: Sequence[str] | None,
    older: str | None,
    younger: str | None,
) -> Choice:
    """Make a choice of the options of a command that changes letters.

    Raises:
        Mistake: The options do not say which letters, or say it in two ways; or a domain or age is wrong: as in
            ``Choice.of``.
    """
    filters = bool(reasons or commands or older or younger)
    ways = [way for way, is_taken in (("ids", bool(ids)), ("filters", filters), ("--all", every)) if is_taken]
    if not ways:
        raise Mistake("say which dead letters: name their ids, or filter them, or pass --all.")
    if len(ways) > 1:
        raise Mistake(f"{' and '.join(ways)} each say which dead letters: leave out all but one.")
    return Choice.of(
        settings,
        domain=domain,
        ids=ids,
        reasons=reasons or (),
        commands=commands or (),
        older_than=older,
        younger_than=younger,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done.

    Attributes:
        found: The counts of the scan.
        kinds: The number of letters to treat, by kind.
    """

    found: Found
    kinds: Kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """An action on dead letters.

    Attributes:
        choice: The selected letters.
        participle: The past participle of the action: ``replayed``.
        wanted: Returns whether a selected letter is treated.
        act: Treats one domain's letters, and calls its last argument after each.
        asks_for_one: Whether consent is asked for a single letter, too.
    """

    choice: Choice
    participle: str
    wanted: LetterFilter
    act: Callable[[DeadQueue, LetterFilter, Bounds, Progress], Awaitable[None]]
    asks_for_one: bool

    def plan(self, visit: Callable[[DeadLetter], None] = lambda _: None) -> Plan:
        """Count what there is to do. Nothing is removed.

        Args:
            visit: Called with each selected letter.

        Raises:
            Mistake: A selected id does not exist, or no domain has queues.
            BrokerUnavailable, BrokerMisconfigured: The broker cannot be reached, or refuses the connection.
        """
        todo: Kinds = Counter()

        def look_at(letter: DeadLetter) -> None:
            visit(letter)
            if self.wanted(letter):
                todo[kind(letter)] += 1

        with counting("looking") as progress:
            found = run_async(scan(self.choice, look_at, progress=progress))
        found.check_ids(self.choice.selection.ids)
        return Plan(found=found, kinds=todo)

    def carry_out(
        self, plan: Plan, *, dry_run: bool, yes: bool, rate: float | None = None, silent: bool = False
    ) -> int | None:
        """Do it after consent, and print how much was done.

        Args:
            plan: The result of ``plan``.
            dry_run: Whether to print only what would be done.
            yes: Whether to do it without asking.
            rate: The most letters to treat in a second; None for no limit.
            silent: Whether to print nothing, because the caller prints JSON.

        Returns:
            The number of letters that were treated; None if consent was refused.

        Raises:
            Mistake: The broker failed during it; the message says how many letters were treated before.
        """
        say: Callable[..., None] = (lambda *_: None) if silent else tell
        total = plan.kinds.total()
        if plan.found.unseen and not self.choice.selection.ids:
            say(plan.found.unseen_told())
        if not plan.found.meant:
            say("There are no dead letters." if not plan.found.total else "No dead letter fits.")
        if not silent:
            tell_each(plan.found.absent(self.choice.selection))
        if not total:
            return 0
        if dry_run:
            say(kinds(plan.kinds))
            say(f"{counted(total, 'dead letter')} would be {self.participle}.")
            return 0
        if not yes and (total > 1 or self.asks_for_one) and not self._is_agreed_to(plan, total):
            say(f"Nothing was {self.participle}.")
            return None
        done = self._do(plan, total, rate)
        say(f"{counted(done, 'dead letter was', 'dead letters were')} {self.participle}.")
        if done < total:
            say(f"{counted(total - done, 'dead letter is', 'dead letters are')} left; run it again.")
        return done

    def _is_agreed_to(self, plan: Plan, total: int) -> bool:
        rows = [f"  {count:,}  {reason}  {command}" for (_, command, reason), count in plan.kinds.most_common()]
        return agreed(
            f"{counted(total, 'dead letter')} will be {self.participle}:\n" + "\n".join(map(printable, rows)),
            "Go on?",
            action=f"dead letters are {self.participle}",
            look="to count them",
        )

    def _do(self, plan: Plan, total: int, rate: float | None) -> int:
        done = 0

        async def treat(progress: Progress) -> None:
            def count() -> None:
                nonlocal done
                done += 1
                progress()

            for topology, there in plan.found.there.items():
                most = sum(n for (domain, _, _), n in plan.kinds.items() if domain == topology.domain_name)
                if most:
                    async with DeadQueue.open(self.choice.amqp_url, topology) as queue:
                        await self.act(queue, self._is_meant, Bounds(oldest=there, most=most, rate=rate), count)

        try:
            with counting(self.participle, total) as progress:
                run_async(treat(progress))
        except BrokerError as error:
            raise Mistake(f"{sentence(error)}\n{self._so_far(done, total)}") from error
        except KeyboardInterrupt:
            print(self._so_far(done, total), file=sys.stderr)  # noqa: T201  the last line before the exit status
            raise
        return done

    def _is_meant(self, letter: DeadLetter) -> bool:
        return self.choice.selection.fits(letter) and self.wanted(letter)

    def _so_far(self, done: int, total: int) -> str:
        were = "was" if done == 1 else "were"
        of_them = f"{done:,} of {counted(total, 'dead letter')} {were} {self.participle} before"
        return f"{of_them}; run it again to continue with the rest."


def tell_each(lines: Sequence[str]) -> None:
    """Print lines for people."""
    for line in lines:
        tell(line)
