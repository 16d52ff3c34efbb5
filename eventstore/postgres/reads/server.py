"""The reads of one server: each by the fastest statement for it, shared between callers where possible."""

from collections.abc import Sequence
from itertools import repeat

from msgspec.structs import replace

from eventstore.filter import Filter
from eventstore.position import LAST_NUMBER, Position
from eventstore.postgres.arrays import json_array, number_array
from eventstore.postgres.connections.pool import Pool
from eventstore.postgres.reads.archived import Archived
from eventstore.postgres.reads.branches import Branch, branches_of, columns, is_period, matches_any, types_of
from eventstore.postgres.reads.coalescer import Coalescer
from eventstore.postgres.reads.lookup import Answer, Lookup, Numbers, Shared
from eventstore.postgres.reads.rows import head_of
from eventstore.postgres.reads.tail_limit import LONGEST_TAIL, TailLimit
from eventstore.postgres.statements import statement

__all__ = ["LONGEST_SHARED", "ServerReads", "mixed_statement"]

LONGEST_SHARED = 1000
"""The most events of a filter in a shared read: a longer history is read alone, so that no caller waits for it."""

# Up to this number of objects, each is looked up once, and each event found is compared with all of them.
_FEW = 12
# The branch number of an answer whose statement did not search; statements that find each event once, by any branch,
# report branch 1.
_NOT_LOOKED_FOR = -3
_LISTED = (Branch(None, None, 0, 0, None, None),)


class ServerReads:
    """The reads of one server."""

    def __init__(self, pool: Pool, *, seconds: float) -> None:
        self.pool = pool
        self._limit = TailLimit()
        self._seconds = seconds
        self.histories = Coalescer(pool, "query", _history_statement, seconds=seconds)
        self.tails = Coalescer(pool, "tail", _tail_statement, seconds=seconds, learn=self._limit.learn)
        self.mixed = Coalescer(pool, "mixed", _mixed_statement, seconds=seconds, learn=self._limit.learn)

    async def query(
        self, filters: Sequence[Filter], milestones: frozenset[int], most: int | None, known: Sequence[int] = ()
    ) -> Answer:
        """Answer several filters from one snapshot, in a shared statement if that is faster.

        Args:
            filters: The filters to answer.
            milestones: The sequence numbers of events whose tokens are wanted as well.
            most: The largest number of events wanted of one filter; None for all.
            known: For each filter the number of events below its bound; empty if unknown.
        """
        near = [
            self._is_near(each, count) for each, count in zip(filters, known or repeat(0, len(filters)), strict=True)
        ]
        branches = tuple([branches_of(each, walked=walked) for each, walked in zip(filters, near, strict=True)])
        answer: Answer | None = None
        if False not in near:
            answer = await self.tails.ask(Lookup(branches, milestones, most))
            if answer.archived is None and any(answer.position.number - each.above > LONGEST_TAIL for each in filters):
                answer = None  # the head has moved on; the statement did not search for these
        if answer is None and len(filters) == 1 and is_period(filters[0]):
            answer = await self._by_time(filters[0], milestones, most)
        if answer is None:
            answer = await self._by_index(filters, branches, milestones, most)
        self.pool.head = answer.position
        return answer

    async def short(self, boundary: Filter, milestones: frozenset[int]) -> Answer:
        """Read a whole history by the indexes if it is short; otherwise its filter's result is None."""
        if is_period(boundary):
            if (answer := await self._by_time(boundary, milestones, LONGEST_SHARED)) is not None:
                return answer
            if matches_any(boundary):
                # Only a walk along the log could count the matches.
                return replace(await self.listed((), milestones), found=(None,))
            lookup = Lookup((branches_of(boundary),), milestones, LONGEST_SHARED)
            whole = Shared([lookup])
            return await self._alone(lookup, *_history_statement(whole))
        return await self.histories.ask(Lookup((branches_of(boundary),), milestones, LONGEST_SHARED))

    async def range(self, boundary: Filter, up_to: int, milestones: frozenset[int]) -> Answer:
        """Walk a range of the log, up to and including ``up_to``."""
        parameters = (*columns(branches_of(boundary)), boundary.above, up_to, sorted(milestones))
        return await self._alone(Lookup((_LISTED,), milestones), statement("range"), parameters)

    async def numbers(self, boundary: Filter, up_to: int, most: int, milestones: frozenset[int]) -> Numbers:
        """Find the sequence numbers of matching events by the indexes."""
        parameters = (*columns(branches_of(boundary)), up_to, most, sorted(milestones))
        return Numbers.of(await self.pool.fetch(statement("numbers"), parameters, seconds=self._seconds))

    async def span(self, boundary: Filter, milestones: frozenset[int]) -> Numbers:
        """Find the lowest and highest sequence number of a filter's period, if it is a small part of the log."""
        parameters = (boundary.since, boundary.until, sorted(milestones))
        found = Numbers.of(await self.pool.fetch(statement("span"), parameters, seconds=self._seconds))
        if found.archived is None or not found.archived.filters:
            return found
        # A part of the period is archived. A walk along the log finds that part and raises the right error.
        positions = found.archived.positions
        return replace(found, reached=0, archived=Archived({}, positions) if positions else None)

    async def listed(self, numbers: Sequence[int], milestones: frozenset[int]) -> Answer:
        """Read events by their sequence numbers."""
        lookup = Lookup((_LISTED,), milestones)
        return await self._alone(lookup, statement("listed"), (sorted(numbers), sorted(milestones)))

    async def head(self) -> Position:
        """Look up the head of the log."""
        self.pool.head = head_of(await self.pool.fetch(statement("head"), seconds=self._seconds))
        return self.pool.head

    async def close(self) -> None:
        """Wait until no query is in flight."""
        for coalescer in (self.histories, self.tails, self.mixed):
            await coalescer.close()

    def _is_near(self, boundary: Filter, known: int) -> bool:
        if not boundary.above or matches_any(boundary):
            return False
        return self.pool.head.number - boundary.above <= self._limit.of(boundary, known)

    async def _by_time(self, boundary: Filter, milestones: frozenset[int], most: int | None) -> Answer | None:
        """Read the events of a period if it is a small part of the log; None if another statement is faster.

        The statement is not shared: it may take long, and the next batch would wait for it.
        """
        lookup = Lookup((_LISTED,), milestones, most)
        bounds = (boundary.above, boundary.since, boundary.until)
        parameters = (types_of(boundary), *bounds, _limit(most), sorted(milestones))
        rows = await self.pool.fetch(statement("period"), parameters, seconds=self._seconds)
        if any(row[0] == _NOT_LOOKED_FOR for row in rows):
            return None
        shared = Shared([lookup])
        shared.learn(rows)
        await shared.read_ahead()
        return shared.answer(lookup)

    async def _by_index(
        self,
        filters: Sequence[Filter],
        branches: tuple[tuple[Branch, ...], ...],
        milestones: frozenset[int],
        most: int | None,
    ) -> Answer:
        suffice = all([branch.is_indexed for alternatives in branches for branch in alternatives])  # noqa: C419  faster
        coalescer, make = (self.histories, _history_statement) if suffice else (self.mixed, _mixed_statement)
        # A statement that scans many events for few matches would keep other callers waiting.
        shares = not any(map(is_period, filters))
        if shares and (suffice or most is not None or not any(map(matches_any, filters))):
            shared = LONGEST_SHARED if most is None else min(most, LONGEST_SHARED)
            answer = await coalescer.ask(Lookup(branches, milestones, shared))
            if None not in answer.found or shared == most or answer.archived is not None:
                return answer
            for each, found in zip(filters, answer.found, strict=True):
                if found is None:
                    self._limit.remember_long(each)
        lookup = Lookup(branches, milestones, most)
        whole = Shared([lookup])
        return await self._alone(lookup, *make(whole))

    async def _alone(self, lookup: Lookup, sql: str, parameters: Sequence[object]) -> Answer:
        shared = Shared([lookup])
        shared.learn(await self.pool.fetch(sql, parameters, seconds=self._seconds))
        await shared.read_ahead()
        return shared.answer(lookup)


def _limit(most: int | None) -> int | None:
    # One more than wanted shows that there are more.
    return None if most is None else min(most, LAST_NUMBER - 1) + 1


def _history_statement(shared: Shared) -> tuple[str, tuple[object, ...]]:
    branches = shared.branches
    if shared.is_one_filter and not shared.milestones and (objects := _objects_of(branches)):
        first = branches[0]
        return statement("query_one"), (json_array(objects), first.types, first.above, _limit(shared.most))
    return statement("query"), (*columns(branches), _limit(shared.most), shared.milestones)


def _objects_of(branches: Sequence[Branch]) -> list[str] | None:
    """Return the objects of one filter's branches if they are few, differ in the objects only, and have no times."""
    if not 0 < len(branches) <= _FEW or (first := branches[0]).since is not None or first.until is not None:
        return None
    found = [branch.contained for branch in branches if branch.contained is not None and branch.types == first.types]
    return found if len(found) == len(branches) else None


def _tail_statement(shared: Shared) -> tuple[str, tuple[object, ...]]:
    return statement("tail"), (*columns(shared.branches), LONGEST_TAIL, shared.milestones, _least(shared.branches))


def _mixed_statement(shared: Shared) -> tuple[str, tuple[object, ...]]:
    return mixed_statement(shared.branches, shared.most, shared.milestones)


def mixed_statement(
    branches: Sequence[Branch], most: int | None, milestones: Sequence[int]
) -> tuple[str, tuple[object, ...]]:
    """Return the statement that walks for the branches marked so, and its parameters."""
    walked = number_array([branch.walked for branch in branches])
    least = _least([branch for branch in branches if branch.walked])
    return statement("mixed"), (*columns(branches), _limit(most), milestones, walked, LONGEST_TAIL, least)


def _least(branches: Sequence[Branch]) -> int:
    return min([branch.above for branch in branches], default=0)
