"""The second fold: reads and folds long parts separately, and compares the result with the fold along the log.

For each decision, this would be quadratic. It is done whenever the number of a part's events has doubled, and once more
at its last decision, within a budget that grows with the number of events that the replay has read.
"""

from dataclasses import dataclass
from typing import Any

from eventstore import EventStore
from eventstore.counted import counted
from handlers.domain import Domain
from handlers.errors import HandlerError
from handlers.part import Part
from worker.load.opened_events import OpenedEvents
from worker.load.part_fold import CannotFold, PartFold, begun, evolved
from worker.load.part_folds import Violated, impure
from worker.load.snapshot import alike

__all__ = ["SecondFold"]

_BATCH = 5000
# The budget for each event of the log, in events; a read costs a fixed number of events besides its own.
_SHARE = 3
_READ = 100
_AT_FIRST = 10_000


@dataclass(frozen=True, slots=True)
class _Expected:
    domain: Domain
    part: Part[Any]
    number: int
    count: int
    state: Any


class SecondFold:
    """Folds parts a second time.

    Args:
        store: The event store with the log.
        violated: Called with each difference.
        opening: Decrypts sealed values.

    Attributes:
        compared: How often a part was folded a second time.
    """

    def __init__(self, store: EventStore, violated: Violated, opening: OpenedEvents) -> None:
        self._opening = opening
        self.compared = 0
        self._store = store
        self._violated = violated
        self._allowed = _AT_FIRST
        self._expected: list[_Expected] = []

    def earn(self) -> None:
        """Add to the budget for one more event of the log."""
        self._allowed += _SHARE

    def expect(self, fold: PartFold, number: int) -> None:
        """Schedule a comparison of a part at an event's number, where a command is decided on it, if one is due."""
        cost = fold.count + _READ
        is_time = fold.count >= 2 * fold.compared or (fold.due == 1 and fold.count > fold.compared)
        if fold.facts is None and fold.failure is None and is_time and cost <= self._allowed:
            self._allowed -= cost
            fold.compared = fold.count
            self._expected.append(_Expected(fold.domain, fold.part, number, fold.count, fold.state))

    async def compare(self) -> None:
        """Do the scheduled comparisons.

        Raises:
            EventStoreError: The store could not be read.
        """
        while self._expected:
            await self._compare(self._expected.pop())

    async def _compare(self, expected: _Expected) -> None:
        self.compared += 1
        part, count = expected.part, 0
        try:
            state = begun(part)
            async for event in self._store.read(part.filter, up_to=expected.number, batch_size=_BATCH):
                whole = (await self._opening.open(event)).event
                state = evolved(part, state, expected.domain.recorded(whole))
                count += 1
        except (CannotFold, HandlerError) as error:
            self._violated(f"{part} cannot be folded once more up to {expected.number}: {error}")
            return
        if count != expected.count:
            self._violated(
                f"the store finds {counted(count, 'event')} of {part} up to {expected.number}, but the log holds "
                f"{expected.count:,}"
            )
        elif not alike(state, expected.state):
            self._violated(impure(part))
