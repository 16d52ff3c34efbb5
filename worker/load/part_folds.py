"""The parts that a replay has still to decide from, each folded along the log.

What a worker shares, nothing here relies on. A part is told from another by the very view, the types of its key and
its filter, not by its identity. It is folded in a loop of its own, and a decision from few events folds them for
itself, from an initial state of its own. What such a fold makes of the events must be what the one along the log made
of them: it is not, when a view's functions look at something else than its key and its events.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from eventstore import RecordedEvent
from handlers.decider import AnyDecider
from handlers.decision import Decision
from handlers.domain import Domain
from handlers.model import Command, DomainEvent
from handlers.part import Part
from worker.load.part_fold import CannotFold, PartFold, begun, evolved
from worker.load.part_index import PartIndex
from worker.load.snapshot import Snapshot, alike

__all__ = ["PartFolds", "Violated", "impure"]

_FEW = 32
_MOST_KEPT = 100_000


class Violated(Protocol):
    """Notes a violation."""

    def __call__(self, text: str, *, events: Sequence[RecordedEvent] = ()) -> None:
        """Note what is wrong, with the events that show it."""


class PartFolds:
    """Folds the parts of commands that are known in advance, and lets go of each with its last command.

    Args:
        violated: Called with what is wrong with a view or a decider, once for each of its kind.
        most_kept: How many events are kept in all, so that memory does not grow with the log.
    """

    def __init__(self, violated: Violated, *, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._violated = violated
        self._folds: dict[object, PartFold] = {}
        self._index = PartIndex()
        self._kept = 0
        self._looked: Counter[object] = Counter()
        self._told: set[object] = set()

    def __len__(self) -> int:
        return len(self._folds)

    def expect(self, domain: Domain, parts: Sequence[Part[Any]]) -> tuple[PartFold, ...]:
        """Fold these parts from now on, for one command more. The log has not begun.

        Raises:
            CannotFold: A view raises something.
        """
        folds = tuple(self._fold(domain, part) for part in parts)
        for fold in folds:
            fold.due += 1
        return folds

    def holding(self, event: RecordedEvent) -> list[PartFold]:
        """Return the folds whose part holds an event."""
        return list(self._index.holding(event))

    def take(self, fold: PartFold, event: RecordedEvent, fact: DomainEvent) -> None:
        """Fold a part's next event."""
        fold.last = event
        fold.count += 1
        if fold.failure is not None:
            return
        view = fold.part.view
        watched = self._watches((id(view), event.type))
        before = (Snapshot(fold.state), Snapshot(fact)) if watched else None
        try:
            fold.state = evolved(fold.part, fold.state, fact)
        except CannotFold as error:
            fold.failure = f"{error}, which is number {event.sequence_number}"
            self._let_go_of_facts(fold)
            return
        if before is not None and not before[0].holds:
            self._tell(f"the view {view.name} changes its state in place when {event.type} comes", event)
        if before is not None and not before[1].holds:
            self._tell(f"the view {view.name} changes the event {event.type} that it is given", event)
        self._keep(fold, fact)

    def states(self, folds: Sequence[PartFold], parts: Sequence[Part[Any]]) -> dict[Part[Any], Any]:
        """Return the states that a command is decided from.

        Args:
            folds: Its folds, as ``expect`` returned them.
            parts: Its parts, in the same order, as they are named once more now.

        Raises:
            CannotFold: A view raises something.
        """
        return {part: self._state(fold, part) for fold, part in zip(folds, parts, strict=True)}

    def decided(self, decider: AnyDecider, command: Command, arguments: Sequence[Any]) -> Decision:
        """Decide a command, and note if that changes a state. Raises what ``decide`` raises."""
        watched = [Snapshot(argument) for argument in arguments] if self._watches(decider.name) else []
        decision = decider.decide(command, *arguments)
        if not all(snapshot.holds for snapshot in watched):
            self._tell(f"decide of {decider.name} changes a state that it is given")
        return decision

    def release(self, folds: Sequence[PartFold]) -> None:
        """Let go of what no command needs any more: one of those that were expected is decided."""
        for fold in folds:
            fold.due -= 1
            if not fold.due:
                self._index.remove(fold)
                del self._folds[_told_apart(fold.domain, fold.part)]
                self._let_go_of_facts(fold)

    def _fold(self, domain: Domain, part: Part[Any]) -> PartFold:
        key = _told_apart(domain, part)
        fold = self._folds.get(key)
        if fold is None:
            fold = PartFold(domain, part, begun(part))
            self._folds[key] = fold
            self._index.add(fold)
        return fold

    def _state(self, fold: PartFold, part: Part[Any]) -> Any:
        if fold.failure is not None:
            raise CannotFold(fold.failure)
        if fold.facts is None:
            return fold.state
        state = begun(part)
        for fact in fold.facts:
            state = evolved(part, state, fact)
        if not alike(state, fold.state):
            self._tell(impure(part), *([] if fold.last is None else [fold.last]))
        return state

    def _keep(self, fold: PartFold, fact: DomainEvent) -> None:
        if fold.facts is None:
            return
        if fold.count > _FEW or self._kept >= self._most_kept:
            self._let_go_of_facts(fold)
        else:
            fold.facts.append(fact)
            self._kept += 1

    def _let_go_of_facts(self, fold: PartFold) -> None:
        if fold.facts is not None:
            self._kept -= len(fold.facts)
            fold.facts = None

    def _watches(self, what: object) -> bool:
        """Whether to look closely this time: at first always, then at every power of two."""
        self._looked[what] += 1
        count = self._looked[what]
        return count <= _FEW or count & (count - 1) == 0

    def _tell(self, text: str, *events: RecordedEvent) -> None:
        if text not in self._told:
            self._told.add(text)
            self._violated(text, events=events)


def impure(part: Part[Any]) -> str:
    """Say that folding a part twice came to two states."""
    return f"{part} is another state when it is folded by itself: its view looks at more than its key and its events"


def _told_apart(domain: Domain, part: Part[Any]) -> object:
    """Return what tells a part from another: not its identity, which a worker goes by and which could be wrong."""
    key = tuple((type(value), value) for value in part.key)
    return id(domain), id(part.view), key, part.filter
