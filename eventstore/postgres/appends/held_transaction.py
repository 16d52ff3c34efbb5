"""Held transactions: the lock, reads, one append and its commit, on a dedicated connection."""

import asyncio
from collections.abc import Sequence

from eventstore.append import Append
from eventstore.errors import (
    EventStoreError,
    HistoryDiverged,
    HoldExpired,
    LockNotAcquired,
    OutcomeUnknown,
    StoreUnavailable,
)
from eventstore.position import START, Position
from eventstore.postgres.appends.batch import AppendAnswer, chain_answer, columns, verdict_of
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.connections.statement_watchdog import watched
from eventstore.postgres.connections.translation import DRIVER_ERRORS, READ_ONLY, is_connection_loss, translate
from eventstore.postgres.drivers.errors import ended_by, sqlstate_of
from eventstore.postgres.drivers.protocol import Connection, Row
from eventstore.postgres.reads.branches import branches_of, matches_any
from eventstore.postgres.reads.lookup import Answer, Lookup, Shared
from eventstore.postgres.reads.server import mixed_statement
from eventstore.postgres.statements import statement
from eventstore.question import Question

__all__ = ["HeldTransaction"]

# Seconds beyond the server's time limit before the connection of a missing answer is terminated.
_GRACE_SECONDS = 5.0
_LOCK_NOT_AVAILABLE = "55P03"
# The server ended the transaction because it took too long: as a whole, in a statement, or between two statements.
_TOO_LONG = {"25P04", "57014", "25P03"}
_ONE_BOUND_FROM = 17
_MOST_KNOWN = 1000


class HeldTransaction:
    """One transaction that holds the store's lock.

    The server limits its duration and ends its session afterwards: if the connection is lost before the commit, nothing
    is recorded.

    Attributes:
        head: The head of the log under the lock.

    Args:
        pools: The pools of the store. The transaction takes a connection of the primary for itself, so that no batch of
            this process waits for that connection; in the server, all appends wait for the lock.
        limit: The longest time in seconds that the lock is held.
        patience: The timeout in seconds for taking the lock, applied to its queue and then to its holder.
    """

    def __init__(self, pools: Pools, *, limit: float, patience: float) -> None:
        self.head = START
        self._pools = pools
        self._limit = limit
        self._patience = patience
        self._connection: Connection | None = None

    async def begin(self) -> None:
        """Take the lock. It is released by ``record`` or ``leave``.

        Raises:
            LockNotAcquired: Other transactions held the lock until the timeout.
            EventStoreError: A statement failed in another way, as ``translate`` classifies it.
        """
        try:
            await self._begin()
        except HoldExpired:
            # The connection had ended while it was idle, before the lock was taken. A new connection shows whether the
            # server is up.
            await self._pools.primary.renew()
            try:
                await self._begin()
            except HoldExpired as error:
                raise StoreUnavailable(f"PostgreSQL cannot be reached: {error.__cause__}", code=error.code) from error

    async def leave(self) -> None:
        """Roll back what is not committed, which releases the lock, and return the connection."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
        except DRIVER_ERRORS:
            _terminate(connection)
        except BaseException:
            _terminate(connection)
            raise
        finally:
            await self._pools.primary.release(connection)

    async def answer(self, question: Question) -> Answer:
        """Answer a question by walking the log from its positions to the head.

        Raises:
            HistoryDiverged: A position is not in this store's history.
            HistoryArchived: A position or matching events may be archived.
            HoldExpired: The server ended the transaction, or the connection broke.
            EventStoreError: The statement failed in another way, as ``translate`` classifies it.
        """
        branches = tuple(branches_of(each, walked=not matches_any(each)) for each in question.filters)
        milestones = frozenset(position.number for position in question.positions)
        lookup = Lookup(branches, milestones, question.most)
        shared = Shared([lookup])
        shared.learn(await self._fetch_held(*mixed_statement(shared.branches, shared.most, shared.milestones)))
        answer = shared.answer(lookup)
        if answer.archived is not None:
            raise answer.archived.refusal(question.after)
        for position in question.positions:
            if answer.tokens.get(position.number) != position.token:
                raise HistoryDiverged(f"position {position} is not in this store's history")
        return answer

    async def record(self, appends: Sequence[Append]) -> list[AppendAnswer]:
        """Append a chain and commit; the lock is released in any case.

        Raises:
            HoldExpired: The transaction had ended before. Nothing is recorded.
            OutcomeUnknown: The connection broke during the commit.
            EventStoreError: The statement failed; nothing is recorded.
        """
        try:
            rows = await self._fetch_held(statement("append"), columns(appends, chained=True))
            if self._in_use.get_server_version().major < _ONE_BOUND_FROM:
                # A commit that is cut short while it waits for a standby has happened nevertheless.
                await self._fetch_held("SET LOCAL statement_timeout = 0", ())
            await self._commit()
        finally:
            await self.leave()
        return [chain_answer(append, verdict_of(append, row)) for append, row in zip(appends, rows, strict=True)]

    @property
    def _in_use(self) -> Connection:
        if self._connection is None:
            raise HoldExpired("the lock is not held any more; nothing is recorded")
        return self._connection

    async def _begin(self) -> None:
        self._connection = await self._pools.primary.acquire(_GRACE_SECONDS)
        milliseconds = [max(1, round(1000 * seconds)) for seconds in (self._patience, self._limit)]
        try:
            async with asyncio.timeout(2 * self._patience + _GRACE_SECONDS):
                await self._fetch("BEGIN ISOLATION LEVEL READ COMMITTED", ())
                await self._warm_up(self._connection)
                (row,) = await self._fetch(statement("hold"), milliseconds)
        except TimeoutError as error:
            await self._give_up(self._in_use)
            await self.leave()
            raise translate(error) from error
        except BaseException as error:
            await self.leave()
            if getattr(error, "code", None) == _LOCK_NOT_AVAILABLE:
                raise LockNotAcquired(
                    f"the lock was not free within {self._patience} s", code=_LOCK_NOT_AVAILABLE
                ) from error
            raise
        self.head = Position(number=row["number"], token=row["token"])

    async def _warm_up(self, connection: Connection) -> None:
        """Load a session's caches before it takes the lock, so that its first statements do not load them under it."""
        known, process = self._pools.primary.warm, connection.get_server_pid()
        if process in known:
            return
        await self._fetch(*mixed_statement((), 0, ()))
        try:
            await connection.prepare(self._pools.primary.schema.render(statement("append")))
        except DRIVER_ERRORS as error:
            raise await self._failure(error) from error
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known.add(process)

    async def _fetch(self, sql: str, parameters: Sequence[object]) -> Sequence[Row]:
        try:
            return await self._in_use.fetch(self._pools.primary.schema.render(sql), *parameters)
        except DRIVER_ERRORS as error:
            raise await self._failure(error) from error

    async def _fetch_held(self, sql: str, parameters: Sequence[object]) -> Sequence[Row]:
        """Run a statement that the server ends in time by itself, and terminate the connection if it does not."""
        try:
            async with asyncio.timeout(self._limit + _GRACE_SECONDS):
                return await self._fetch(sql, parameters)
        except TimeoutError as error:
            await self._give_up(self._in_use)
            raise await self._failure(error) from error

    async def _give_up(self, connection: Connection) -> None:
        """Terminate a connection whose server does not enforce its time limit, and retire all others to that server."""
        _terminate(connection)
        await self._pools.primary.renew()

    async def _commit(self) -> None:
        connection = self._in_use
        try:
            async with watched(connection, self._pools.primary):
                with confirmed(connection):
                    await connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if not _took_too_long(error) and is_connection_loss(error):
                raise OutcomeUnknown("the connection broke while an append was being committed") from error
            raise await self._failure(error) from error

    async def _failure(self, error: BaseException) -> EventStoreError:
        """Translate the error of a statement before the commit."""
        code = sqlstate_of(error)
        if code == READ_ONLY:
            await self._pools.forget_primary()
        if _took_too_long(error) or isinstance(error, TimeoutError) or is_connection_loss(error):
            return HoldExpired(
                f"the lock was held for longer than {self._limit} s, or its connection broke; nothing is recorded",
                code=code,
            )
        return translate(error, self._pools.primary.schema)


def _took_too_long(error: BaseException) -> bool:
    """Return whether the server ended the transaction for its duration; a driver may report a lost connection."""
    return any(code in _TOO_LONG for code in (sqlstate_of(error), ended_by(error)))


def _terminate(connection: Connection) -> None:
    try:
        connection.terminate()
    except DRIVER_ERRORS:
        return  # the pool has taken it back, as it does with a connection that the server closes
