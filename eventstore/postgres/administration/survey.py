"""Surveys: the state of a server and its event store, as one role sees it in a session of its own."""

from dataclasses import dataclass

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.administration.database_settings import collation_complaint
from eventstore.postgres.administration.wholeness import MANY_PAGES, Wholeness
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.statements import migrations, statement
from eventstore.schema_name import DEFAULT_SCHEMA

__all__ = ["Survey", "survey"]

_SECONDS = 10.0
# Attributes that are not columns of the statement's result.
_DERIVED = {
    *("schema", "unfinished", "missing_indexes", "archive_places", "pooled", "wholeness", "collation"),
    *("idle_slots", "prepared", "feedback"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The result of a survey.

    Attributes:
        schema: The name of the store's schema.
        schema_version: The version of the schema.
        unfinished: Whether earlier releases can still run beside this one, which makes appends slower.
        head: The sequence number of the last event.
        in_recovery: Whether the server is a standby.
        role: The role that made the survey.
        isolation: The isolation level of a session that sets none.
        durability: The ``synchronous_commit`` of a session that sets none.
        connections: The largest number of connections of roles that are not superusers.
        may_work: Whether the role may read and append.
        may_change: Whether the role may also change the tables directly.
        missing_indexes: The indexes that are missing or invalid.
        without_pending_list: Whether the index on the payload has ``fastupdate = off``.
        guarded: Whether the database refuses changes of events.
        partition_size: The number of events in each further partition of the log; None if the log is one table.
        partitions: The number of partitions.
        last_number: The last sequence number that has a partition; None if the log is one table.
        bound: The last sequence number that the log takes until its table has become the first partition; None unless
            that is under way, or was interrupted.
        archives: The number of archived ranges.
        archive_places: The directories of the archived ranges.
        pooled: Whether a pooler is between the program and the server.
        wholeness: Whether the tables belong together.
        idle_slots: The replication slots without a reader, each with the number of bytes of WAL that it retains.
        prepared: The prepared transactions that are older than an hour.
        feedback: Whether ``hot_standby_feedback`` is on, so that a standby reports to its primary the rows it reads.
        collation: What is wrong with the collations of the indexes; None if nothing is.
    """

    schema: str
    schema_version: int
    unfinished: bool
    head: int
    in_recovery: bool
    role: str
    isolation: str
    durability: str
    connections: int
    may_work: bool
    may_change: bool
    missing_indexes: tuple[str, ...]
    without_pending_list: bool
    guarded: bool
    partition_size: int | None
    partitions: int
    last_number: int | None
    bound: int | None
    archives: int
    archive_places: tuple[str, ...]
    pooled: bool
    wholeness: Wholeness
    collation: str | None
    idle_slots: tuple[tuple[str, int], ...]
    prepared: tuple[str, ...]
    feedback: bool


async def survey(url: str, *, schema: str = DEFAULT_SCHEMA, primary: bool = False) -> Survey:
    """Examine a server and its event store. Nothing is changed.

    Args:
        url: The database URL of the server.
        schema: The schema of the store.
        primary: Whether to choose the host that accepts writes if the URL has several; by default False.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address or credentials are wrong, there is no event store, or the role may not read it.
    """
    # Without cached prepared statements, which some poolers do not support.
    wanted = SessionAttribute.read_write if primary else SessionAttribute.any
    async with administrator(
        url,
        purpose="worker check",
        schema=schema,
        wanted=wanted,
        lifted=False,
        cached=False,
        statement_seconds=_SECONDS,
    ) as connection:
        rows = await connection.fetch(statement("survey"))
        told = connection.get_server_pid()
        (whole,) = await connection.fetch(statement("whole"), MANY_PAGES)
        collation = await collation_complaint(connection)
        (kept,) = await connection.fetch(statement("retention"))
    if not rows:
        raise StoreMisconfigured("the event store has lost its lock row: restore the database from a backup")
    (row,) = rows
    return Survey(
        schema=schema,
        **{name: row[name] for name in Survey.__dataclass_fields__ if name not in _DERIVED},
        unfinished=any(each.finishing is not None and each.version > row["finished"] for each in migrations()),
        missing_indexes=tuple(row["missing_indexes"]),
        archive_places=tuple(row["archive_places"]),
        # A pooler reports a process id of its own making.
        pooled=row["process"] != told,
        wholeness=Wholeness.of(whole),
        collation=collation,
        idle_slots=tuple(zip(kept["slots"], kept["kept"], strict=True)),
        prepared=tuple(kept["prepared"]),
        feedback=kept["feedback"],
    )
