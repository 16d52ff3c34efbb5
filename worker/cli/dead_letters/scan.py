"""The scan: the dead letters that a person selects, and the counts of a browse through the queues."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from worker.amqp.dead_queue import DeadQueue
from worker.cli.age import age
from worker.cli.terminal import progress_bar
from worker.dead_letters.letter import DeadLetter, same_id
from worker.dead_letters.replay import look
from worker.dead_letters.selection import NO_ID, Selection
from worker.failures import Mistake
from worker.owners import named
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.suggestion import meant
from worker.topology import Topology

__all__ = ["Choice", "Found", "Kinds", "counting", "kind", "scan"]

Kinds = Counter[tuple[str, str, str]]
"""The number of letters by domain, command and reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The selected domains, and the selection of their dead letters.

    Attributes:
        amqp_url: The broker's address.
        topologies: The queues of the selected domains.
        selection: The selection of letters.
        asked_at: When the command was called.
    """

    amqp_url: str
    topologies: tuple[Topology, ...]
    selection: Selection
    asked_at: datetime

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        domain: str | None,
        ids: Collection[str] = (),
        reasons: Collection[str] = (),
        commands: Collection[str] = (),
        older_than: str | None = None,
        younger_than: str | None = None,
    ) -> Self:
        """Make it of the options of a command.

        Raises:
            Mistake: There is no such domain, or an age is invalid.
            DomainNotFound: A domain cannot be imported.
        """
        now = datetime.now(UTC)
        return cls(
            amqp_url=settings.amqp_url,
            topologies=tuple(map(Topology.of, named(served_domains(settings), domain))),
            selection=Selection(
                ids=frozenset(same_id(each) for each in ids),
                reasons=frozenset(reasons),
                commands=frozenset(commands),
                died_before=None if older_than is None else now - age(older_than),
                died_after=None if younger_than is None else now - age(younger_than),
            ),
            asked_at=now,
        )


@dataclass(slots=True, kw_only=True)
class Found:
    """The counts of a scan; letters are not kept.

    Attributes:
        there: The number of letters in each domain's queue; a domain that was never served is missing.
        seen: The number of letters that were read. Other consumers hold the others, or have removed them.
        kinds: The number of selected letters, by kind.
        ids: The selected ids that exist.
        all_reasons: The reasons of all letters that were read.
        all_commands: The commands of all letters that were read.
    """

    there: dict[Topology, int] = field(default_factory=dict)
    seen: int = 0
    kinds: Kinds = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    all_reasons: set[str] = field(default_factory=set)
    all_commands: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """The number of letters in all queues."""
        return sum(self.there.values())

    @property
    def unseen(self) -> int:
        """The number of letters that could not be read."""
        return self.total - self.seen

    @property
    def meant(self) -> int:
        """The number of selected letters."""
        return self.kinds.total()

    def reasons(self) -> dict[str, int]:
        """The number of selected letters by reason, the most frequent first."""
        counts: Counter[str] = Counter()
        for (_, _, reason), count in self.kinds.items():
            counts[reason] += count
        return dict(counts.most_common())

    def check_ids(self, wanted: Collection[str]) -> None:
        """Check that every selected id exists.

        Raises:
            Mistake: Some do not; the message names the first few.
        """
        missing = sorted(set(wanted) - self.ids)
        if missing:
            names = ", ".join(missing[:3]) + (f" and {len(missing) - 3:,} more" if len(missing) > 3 else "")  # noqa: PLR2004  few enough to read
            if self.unseen:
                raise Mistake(f"{names} is not among the dead letters that could be read. {self.unseen_told()}")
            raise Mistake(f"there is no dead letter {names}; `worker dead-letters list` shows those that are there.")

    def absent(self, selection: Selection) -> list[str]:
        """Return sentences about selected reasons and commands that no letter has, with similar ones if there are."""
        if not self.seen:
            return []
        asked = (("reason", selection.reasons, self.all_reasons), ("command", selection.commands, self.all_commands))
        return [
            f"No dead letter has the {what} {name}; " + (meant(name, there) or f"there are {', '.join(sorted(there))}.")
            for what, names, there in asked
            for name in sorted(names - there)
        ]

    def unseen_told(self) -> str:
        """Return the sentence that some letters could not be read."""
        return (
            f"{self.unseen:,} of {self.total:,} could not be read: another consumer holds them now, or has removed "
            "them. Try again."
        )


def kind(letter: DeadLetter) -> tuple[str, str, str]:
    """Return what a letter is counted by: domain, command and reason."""
    return letter.domain_name, letter.command_type or "", letter.reason


async def scan(
    choice: Choice, visit: Callable[[DeadLetter], None] = lambda _: None, *, progress: Callable[[], None]
) -> Found:
    """Browse the dead-letter queues of all selected domains. Nothing is removed.

    Args:
        choice: The selected domains and letters.
        visit: Called with each selected letter.
        progress: Called after each letter, selected or not.

    Raises:
        Mistake: None of the domains has queues.
        BrokerUnavailable, BrokerMisconfigured: The broker cannot be reached, or refuses the connection.
    """
    found = Found()

    def look_at(letter: DeadLetter) -> None:
        found.seen += 1
        found.all_reasons.add(letter.reason)
        found.all_commands.add(letter.command_type or "")
        if choice.selection.fits(letter):
            found.kinds[kind(letter)] += 1
            if choice.selection.ids:
                found.ids.add(same_id(letter.message_id or NO_ID))
            visit(letter)

    for topology in choice.topologies:
        async with DeadQueue.open(choice.amqp_url, topology) as queue:
            count = await queue.count()
            if count is not None:
                found.there[topology] = count
                await look(queue, count, look_at, progress=progress)
    if not found.there:
        raise Mistake(_never_served(choice.topologies))
    return found


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show progress on a terminal; yields a function to call after each letter."""
    with progress_bar(what, total) as advance:
        yield lambda: advance(1)


def _never_served(topologies: Sequence[Topology]) -> str:
    names = ", ".join(topology.domain_name for topology in topologies)
    return (
        f"there is no dead-letter queue of {names}: no worker has served it yet, or the queue was deleted; "
        "`worker run` declares it."
    )
