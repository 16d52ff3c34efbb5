"""The folds of all parts that a replay still has to decide on.

Nothing here relies on what a worker shares. Parts are distinguished by the view object, the types and values of the
key, and the filter, not by their identity. Parts are folded by a loop of their own, and a decision on few events folds
them separately, from a new initial state. The result must equal the state that was folded along the log. It does not if
a view's functions depend on anything but its key and its events.
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
    """Folds the parts of commands that are known in advance, and drops each after its last command.

    Args:
        violated: Called with what is wrong with a view or a decider, once for each text.
        most_kept: The most events to keep in all, so that memory does not grow with the log.
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
        """Fold these parts from now on, for one more command. Call it before the first event.

        Args:
            domain: The domain of the parts.
            parts: The parts that the command reads.

        Returns:
            The folds, in the order of the parts.

        Raises:
            CannotFold: A view raises an exception.
        """
        folds = tuple(self._fold(domain, part) for part in parts)
        for fold in folds:
            fold.due += 1
        return folds

    def holding(self, event: RecordedEvent) -> list[PartFold]:
        """Return the folds whose part contains an event."""
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
        """Return the states to decide a command on.

        Args:
            folds: The command's folds, as ``expect`` returned them.
            parts: The command's parts, in the same order, as the domain names them now.

        Raises:
            CannotFold: A view raises an exception.
        """
        return {part: self._state(fold, part) for fold, part in zip(folds, parts, strict=True)}

    def decided(self, decider: AnyDecider, command: Command, arguments: Sequence[Any]) -> Decision:
        """Decide a command, and note a violation if that changes a state. Raises what ``decide`` raises."""
        watched = [Snapshot(argument) for argument in arguments] if self._watches(decider.name) else []
        decision = decider.decide(command, *arguments)
        if not all(snapshot.holds for snapshot in watched):
            self._tell(f"decide of {decider.name} changes a state that it is given")
        return decision

    def release(self, folds: Sequence[PartFold]) -> None:
        """Release a command's folds once it is decided; those that no further command needs are dropped."""
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
        """Whether to compare snapshots this time: at first always, then at every power of two."""
        self._looked[what] += 1
        count = self._looked[what]
        return count <= _FEW or count & (count - 1) == 0

    def _tell(self, text: str, *events: RecordedEvent) -> None:
        if text not in self._told:
            self._told.add(text)
            self._violated(text, events=events)


def impure(part: Part[Any]) -> str:
    """Return the text of the violation that folding a part twice gave two states."""
    return f"{part} is another state when it is folded by itself: its view looks at more than its key and its events"


def _told_apart(domain: Domain, part: Part[Any]) -> object:
    """Return what distinguishes a part: not its identity, which a worker uses and which could be wrong."""
    key = tuple((type(value), value) for value in part.key)
    return id(domain), id(part.view), key, part.filter
