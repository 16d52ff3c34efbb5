"""The event store on PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID

from eventstore.append import Append, check_chain
from eventstore.arguments import check_batch_size, check_limit
from eventstore.boundary import Boundary
from eventstore.errors import EventStoreError
from eventstore.events import Event, RecordedEvent
from eventstore.filter import Filter
from eventstore.held import Held
from eventstore.opening import Opening
from eventstore.position import START, Position
from eventstore.postgres.assembly import Assembly
from eventstore.postgres.connections.pools import Pools
from eventstore.postgres.connections.session_name import UNNAMED
from eventstore.postgres.drivers.choice import DriverName
from eventstore.postgres.reads.history import History
from eventstore.postgres.reads.latest import latest
from eventstore.postgres.reads.receipts import Receipts
from eventstore.postgres.reads.replicas import MOST_LAG, ReadCounts
from eventstore.postgres.reads.rows import key_of
from eventstore.postgres.reads.subscription import Subscription
from eventstore.postgres.schema import Schema
from eventstore.postgres.statements import statement
from eventstore.question import Question
from eventstore.receipt import ACCEPTED, Outcome, Receipt
from eventstore.schema_name import DEFAULT_SCHEMA
from eventstore.stored_state import StateKey, StoredState
from eventstore.stream import Consistency, EventStream, Window
from eventstore.subject_key import SubjectKey
from eventstore.telemetry import Telemetry

__all__ = ["PostgresEventStore"]


class PostgresEventStore:
    """An ``EventStore`` on a PostgreSQL primary and any number of streaming replicas.

    Opened with ``connect``, or with ``over`` on a pool or engine of the program. It can be shared by the tasks of one
    event loop.
    """

    def __init__(self, assembly: Assembly, *, follow_seconds: float) -> None:
        self._closing = assembly.closing
        self._pools = assembly.pools
        self._follow_seconds = follow_seconds
        self._reader = assembly.reader
        self._receipts = Receipts(assembly.reader)
        self._appender = assembly.appender
        self._exclusive = assembly.exclusive
        self._telemetry = assembly.telemetry

    @classmethod
    def connect(
        cls,
        primary_url: str,
        *,
        driver: DriverName = "asyncpg",
        schema: str = DEFAULT_SCHEMA,
        replica_urls: Sequence[str] = (),
        most_lag: int = MOST_LAG,
        pool_size: int = 10,
        reach_seconds: float = 5.0,
        read_seconds: float = 30.0,
        follow_seconds: float = 0.2,
        application_name: str = UNNAMED,
        writable: bool = True,
    ) -> Opening[Self]:
        """Open the store: with ``async with``, or with ``await`` until ``close``.

        Args:
            primary_url: The primary's database URL. If it has several hosts, they are tried in turn for the one that
                accepts writes.
            driver: The database driver: ``asyncpg``, ``psycopg``, or ``sqlalchemy``, an engine over asyncpg.
            schema: The schema that the store is in. A database can hold several stores, one in each schema.
            replica_urls: The replicas' database URLs. A replica that is down is skipped until it is back.
            most_lag: The largest number of events that a replica may lag behind the primary; beyond it the replica is
                skipped until it has caught up.
            pool_size: The largest number of connections to each server.
            reach_seconds: The seconds that a query waits for the primary to reach its ``min_position``.
            read_seconds: The timeout in seconds of one reading statement. Appends have no timeout: an append that is
                cut short may have been committed.
            follow_seconds: The interval in seconds at which a subscription looks for new events.
            application_name: The ``application_name`` of the connections in ``pg_stat_activity``.
            writable: Whether the primary must accept writes. If False, a standby may take its place for a program that
                only reads; its answers may lag, and it refuses appends.

        Raises:
            StoreUnavailable: The primary cannot be reached.
            StoreMisconfigured: The address or credentials are wrong, the schema has no store or one that is older than
                this program, ``synchronous_commit`` is weaker than "on", or the driver is not installed.
        """

        async def opened() -> Self:
            its = Schema(schema)
            pools = await Pools.open(
                primary_url,
                replica_urls,
                driver=driver,
                schema=its,
                pool_size=pool_size,
                application_name=application_name,
                writable=writable,
            )
            assembly = await Assembly.of(
                pools,
                Telemetry.for_database(primary_url, schema),
                most_lag=most_lag,
                reach_seconds=reach_seconds,
                read_seconds=read_seconds,
            )
            return cls(assembly, follow_seconds=follow_seconds)

        return Opening(opened())

    @classmethod
    def over(
        cls,
        pool_or_engine: object,
        *,
        schema: str = DEFAULT_SCHEMA,
        replicas: Sequence[object] = (),
        most_lag: int = MOST_LAG,
        reach_seconds: float = 5.0,
        read_seconds: float = 30.0,
        follow_seconds: float = 0.2,
        application_name: str = UNNAMED,
        writable: bool = True,
    ) -> Opening[Self]:
        """Open the store on the program's own pool or engine: with ``async with``, or with ``await`` until ``close``.

        Each is an ``asyncpg.Pool``, a ``psycopg_pool.AsyncConnectionPool``, or an SQLAlchemy ``AsyncEngine`` over
        asyncpg or psycopg. The store borrows a connection for some statements and returns it with the settings and the
        mode that its session had. It never closes the pool.

        Args:
            pool_or_engine: The pool or engine that connects to the primary.
            schema: The schema that the store is in; as in ``connect``.
            replicas: The pools or engines that connect to the replicas, one for each. A replica that is down is skipped
                until it is back.
            most_lag: The largest number of events that a replica may lag; as in ``connect``.
            reach_seconds: The seconds that a query waits for its ``min_position``; as in ``connect``.
            read_seconds: The timeout in seconds of one reading statement; as in ``connect``.
            follow_seconds: The interval in seconds at which a subscription looks for new events; as in ``connect``.
            application_name: The ``application_name`` of a connection in ``pg_stat_activity`` while the store uses it.
            writable: Whether the primary must accept writes; as in ``connect``.

        Raises:
            StoreUnavailable: The primary cannot be reached, or accepts no writes.
            StoreMisconfigured: The credentials, store or settings are wrong, as in ``connect``, or an argument is no
                pool or engine.
        """

        async def opened() -> Self:
            pools, name = await Pools.over(
                pool_or_engine,
                replicas,
                schema=Schema(schema),
                application_name=application_name,
                writable=writable,
            )
            assembly = await Assembly.of(
                pools,
                Telemetry.for_server(name, pools.primary.server, schema),
                most_lag=most_lag,
                reach_seconds=reach_seconds,
                read_seconds=read_seconds,
            )
            return cls(assembly, follow_seconds=follow_seconds)

        return Opening(opened())

    async def close(self) -> None:
        """Close the store; running operations get two seconds to finish. Safe to repeat."""
        await self._closing.aclose()

    @property
    def read_counts(self) -> ReadCounts:
        """How many reads each server has answered since the store was opened."""
        return self._reader.counts

    async def query(
        self,
        boundary: Filter,
        *,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> EventStream:
        """See ``EventStore.query``."""
        (stream,) = await self.query_many([boundary], consistency=consistency, min_position=min_position)
        return stream

    async def query_many(
        self,
        filters: Sequence[Filter],
        *,
        after: Sequence[Position] | None = None,
        known: Sequence[int] = (),
        most: int | None = None,
        consistency: Consistency = Consistency.STRONG,
        min_position: Position | None = None,
    ) -> list[EventStream]:
        """See ``EventStore.query_many``."""
        question = Question.of(filters, after=after, known=known, most=most, min_position=min_position)
        if not question.filters:
            return []
        with self._telemetry.query(question.filters, consistency) as operation:
            streams = await self._reader.query_many(question, consistency=consistency)
            operation.found(streams)
            return streams

    async def position(self, *, consistency: Consistency = Consistency.STRONG) -> Position:
        """See ``EventStore.position``."""
        return await self._reader.head(consistency=consistency)

    async def append(
        self,
        events: Sequence[Event],
        *,
        boundary: Boundary | None = None,
        after: Position | None = None,
        key: UUID | None = None,
        scope: str = "",
        digest: bytes | None = None,
        outcome: Outcome = ACCEPTED,
    ) -> Receipt:
        """See ``EventStore.append``."""
        append = Append(
            events=events, boundary=boundary, after=after, key=key, scope=scope, digest=digest, outcome=outcome
        )
        with self._telemetry.appends([append]) as operation:
            receipt = await self._appender.append(append, operation.spans[0])
            operation.answers = [receipt]
            return receipt

    async def append_chain(self, appends: Sequence[Append]) -> list[Receipt | EventStoreError]:
        """See ``EventStore.append_chain``."""
        check_chain(appends)
        if not appends:
            return []
        with self._telemetry.appends(appends) as chain:
            chain.answers = await self._appender.append_chain(appends, chain.spans)
            return chain.answers

    @asynccontextmanager
    async def exclusive(self, *, limit: float = 0.25, patience: float = 1.0) -> AsyncIterator[Held]:
        """See ``EventStore.exclusive``. It is one transaction, so a pooler in transaction mode may be in between."""
        async with self._exclusive.hold(limit=limit, patience=patience) as hold:
            yield hold

    async def stored_states(
        self, keys: Sequence[StateKey], *, consistency: Consistency = Consistency.EVENTUAL
    ) -> list[StoredState | None]:
        """See ``EventStore.stored_states``."""
        return await self._reader.states(keys, consistency=consistency)

    async def store_state(self, state: StoredState) -> None:
        """See ``EventStore.store_state``."""
        key, position = state.key, state.position
        names = (key.digest, key.domain, key.view, key.version, key.key, key.filter_digest)
        await self._reader.rows(
            statement("put_state"),
            *names,
            position.number,
            position.token,
            state.state,
            state.events,
            state.sensitive,
        )

    async def make_subject_keys(self, proposed: Sequence[SubjectKey]) -> list[SubjectKey]:
        """See ``EventStore.make_subject_keys``."""
        if not proposed:
            return []
        fields, values = ([key.subject[place] for key in proposed] for place in range(2))
        ids, wrapped = [key.id for key in proposed], [key.wrapped for key in proposed]
        rows = await self._reader.rows(statement("make_subject_keys"), ids, fields, values, wrapped)
        return [key_of(row) for row in rows]

    async def subject_keys(self, ids: Sequence[UUID]) -> dict[UUID, SubjectKey]:
        """See ``EventStore.subject_keys``."""
        if not ids:
            return {}
        return {row["id"]: key_of(row) for row in await self._reader.rows(statement("subject_keys"), list(ids))}

    async def receipt(self, key: UUID, *, scope: str = "", digest: bytes | None = None) -> Receipt | None:
        """See ``EventStore.receipt``."""
        return await self._receipts.find(key, scope=scope, digest=digest)

    async def receipts(self, keys: Sequence[UUID], *, scope: str = "") -> dict[UUID, Receipt]:
        """See ``EventStore.receipts``."""
        return await self._receipts.find_many(keys, scope=scope)

    async def receipts_of(self, key: UUID) -> list[Receipt]:
        """See ``EventStore.receipts_of``."""
        return await self._receipts.of_key(key)

    def all_receipts(self, *, batch_size: int = 1000) -> AsyncIterator[Receipt]:
        """See ``EventStore.all_receipts``."""
        return self._receipts.all(batch_size=batch_size)

    async def read(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        up_to: int | None = None,
        min_position: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.STRONG,
    ) -> AsyncIterator[RecordedEvent]:
        """See ``EventStore.read``."""
        check_batch_size(batch_size)
        head = await self._reader.head(
            consistency=consistency, bound=boundary.above, positions=(after or START, min_position or START)
        )
        history = History(
            reader=self._reader,
            boundary=boundary,
            batch_size=batch_size,
            consistency=consistency,
            head=head,
            seen=max((after or START).number, boundary.above),
            last=head.number if up_to is None else min(up_to, head.number),
        )
        async for event in history.events():
            yield event

    async def latest(
        self,
        boundary: Filter,
        *,
        limit: int,
        up_to: int | None = None,
        consistency: Consistency = Consistency.STRONG,
    ) -> EventStream:
        """See ``EventStore.latest``."""
        check_limit(limit)
        return await latest(self._reader, boundary, limit=limit, up_to=up_to, consistency=consistency)

    async def subscribe(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[RecordedEvent]:
        """See ``EventStore.subscribe``."""
        check_batch_size(batch_size)
        async for event in self._subscription(boundary, after, batch_size, consistency).events():
            yield event

    async def follow(
        self,
        boundary: Filter,
        *,
        after: Position | None = None,
        batch_size: int = 1000,
        consistency: Consistency = Consistency.EVENTUAL,
    ) -> AsyncIterator[Window]:
        """See ``EventStore.follow``."""
        check_batch_size(batch_size)
        async for window in self._subscription(boundary, after, batch_size, consistency).windows():
            yield window

    def _subscription(
        self, boundary: Filter, after: Position | None, batch_size: int, consistency: Consistency
    ) -> Subscription:
        return Subscription(
            reader=self._reader,
            boundary=boundary,
            batch_size=batch_size,
            consistency=consistency,
            follow_seconds=self._follow_seconds,
            above=boundary.above,
            seen=after or START,
        )
