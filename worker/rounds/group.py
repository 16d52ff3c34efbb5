"""The group: commands that meet, decided one on top of another and appended together."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from eventstore import Append, EventStore, EventStoreError, Position, Receipt, RecordedEvent
from handlers.domain import Domain
from handlers.kept_states import KeptState
from handlers.part import Part

__all__ = ["Group", "Overlay", "Place"]

# Stands for the number of an event that has none yet: no bound on the number leaves it out.
_NO_NUMBER = 2**62


class Overlay:
    """The states of parts on top of events that are not recorded yet, each event folded once.

    They lie beside the kept states and are gone with the group: what is kept holds recorded events only.
    """

    def __init__(self) -> None:
        self._states: dict[Part[Any], tuple[Position, int, KeptState]] = {}

    def state(self, part: Part[Any], kept: KeptState, earlier: Sequence[RecordedEvent], domain: Domain) -> KeptState:
        """Return a part's state after earlier events of the group, at the position that it was read up to.

        Args:
            part: The part.
            kept: Its state without them.
            earlier: All of them, as ``Place.earlier`` returns them.
            domain: Whose part it is.
        """
        known = self._states.get(part)
        if known is None or known[0] != kept.position:
            known = (kept.position, 0, kept)
        _, folded, before = known
        events = [event for event in earlier[folded:] if part.filter.holds(event)]
        state = domain.fold(part, before.state, events) if events else before.state
        after = replace(before, state=state, events=before.events + len(events))
        self._states[part] = (kept.position, len(earlier), after)
        return after


class Group:
    """So many commands, in their order. Each decides when those before it have, and sees what they record.

    When all have decided, or left, their appends are sent as one chain.

    Args:
        size: How many they are.
        store: Where they are recorded.
        ended: Called when all have left.
    """

    def __init__(self, size: int, store: EventStore, ended: Callable[[], None]) -> None:
        self._size = size
        self._store = store
        self._ended = ended
        self._present = set(range(size))
        self._appends: list[Append | None] = [None] * size
        self._events: list[list[RecordedEvent]] = [[] for _ in range(size)]
        self._has_decided = [False] * size
        # How many at the beginning have all decided, and what they are going to record.
        self._front = 0
        self._pending: list[RecordedEvent] = []
        self.overlay = Overlay()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._verdicts: dict[int, asyncio.Future[Receipt]] = {}
        self._sending: asyncio.Task[None] | None = None

    def places(self) -> "list[Place]":
        """Return every member's place, in order."""
        return [Place(self, index) for index in range(self._size)]

    async def earlier(self, index: int) -> Sequence[RecordedEvent]:
        """Wait until those before a member have decided, and return what they are going to record, in order."""
        if self._front < index:
            self._waiting[index] = asyncio.get_running_loop().create_future()
            await self._waiting[index]
        return self._pending

    async def append(self, index: int, append: Append) -> Receipt:
        """Send a member's append, with those of the others. Raises what the store answers."""
        if self._size == 1:
            return await self._store.append(
                append.events,
                boundary=append.boundary,
                after=append.after,
                key=append.key,
                digest=append.digest,
                outcome=append.outcome,
            )
        # What cannot be read concerns this member alone, and is found before anybody could wait for it.
        self._events[index] = [event.recorded(_NO_NUMBER, 0) for event in append.events]
        self._appends[index] = append
        self._verdicts[index] = asyncio.get_running_loop().create_future()
        self._decide(index)
        return await self._verdicts[index]

    def leave(self, index: int) -> None:
        """Note that a member has its answer, or will append nothing. Does nothing the second time."""
        if index not in self._present:
            return
        self._present.remove(index)
        if not self._has_decided[index]:
            self._decide(index)
        if not self._present:
            self._ended()

    def _decide(self, index: int) -> None:
        self._has_decided[index] = True
        while self._front < self._size and self._has_decided[self._front]:
            self._pending.extend(self._events[self._front])
            self._front += 1
        # All up to the front may go on: one that has left makes room for more than one.
        for place in [place for place in self._waiting if place <= self._front]:
            waiting = self._waiting.pop(place)
            if not waiting.done():
                waiting.set_result(None)
        if self._front == self._size and self._verdicts:
            # A task of its own: the others' appends do not end with one member's.
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        members = [(index, append) for index, append in enumerate(self._appends) if append is not None]
        answers: Sequence[Receipt | Exception]
        try:
            answers = await self._store.append_chain([each for _, each in members])
        except EventStoreError as error:
            answers = [error.copy_for_caller() for _ in members]
        except Exception as error:  # noqa: BLE001  whatever it is, every member must get an answer
            answers = [error] * len(members)
        for (index, _), answer in zip(members, answers, strict=True):
            verdict = self._verdicts[index]
            if verdict.done():
                continue
            if isinstance(answer, Receipt):
                verdict.set_result(answer)
            else:
                verdict.set_exception(answer)


class Place:
    """One member's place in its group, and as a context manager, the time that it is there: its turn."""

    __slots__ = ("_group", "_index")

    def __init__(self, group: Group, index: int) -> None:
        self._group = group
        self._index = index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    async def earlier(self) -> Sequence[RecordedEvent]:
        """Wait until those before have decided, and return what they are going to record, in order.

        They have no number yet; the one they bear lies above every bound.
        """
        return await self._group.earlier(self._index)

    @property
    def overlay(self) -> Overlay:
        """The states of parts on top of what those before are going to record."""
        return self._group.overlay

    async def append(self, append: Append) -> Receipt:
        """Append, together with the others.

        Raises:
            EventStoreError: As ``EventStore.append``, or ``ChainBroken``: one before was not recorded.

        On cancellation the append may still take effect.
        """
        return await self._group.append(self._index, append)

    def leave(self) -> None:
        """Leave the group, so that nobody waits for this member."""
        self._group.leave(self._index)
