"""Surveys: what a server and its event store are like, as seen by one role in a session of its own."""

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
# What is not a column of the answer.
_DERIVED = {
    *("schema", "unfinished", "missing_indexes", "archive_places", "pooled", "wholeness", "collation"),
    *("idle_slots", "prepared", "feedback"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found.

    Attributes:
        schema: The schema's name.
        schema_version: Its version.
        unfinished: Whether older builds are served beside this one, so that appends cost more than they need.
        head: The sequence number of the last event.
        in_recovery: Whether the server follows another.
        role: Who looked.
        isolation: The isolation level of a session that sets none.
        durability: Its ``synchronous_commit``.
        connections: How many connections the server has for roles that are no superusers.
        may_work: Whether the role may read and append.
        may_change: Whether it may also change the tables by other means.
        missing_indexes: Indexes that are not there, or not valid.
        without_pending_list: Whether the index on the payload has ``fastupdate = off``.
        guarded: Whether the database refuses to change events.
        partition_size: How many events each further partition of the log takes; None if the log is one table.
        partitions: How many partitions there are.
        last_number: The last number that there is a partition for; None if the log is one table.
        archives: How many ranges of the log are archived.
        archive_places: Where they were moved to.
        pooled: Whether a pooler stands between.
        wholeness: Whether the tables belong together.
        idle_slots: The replication slots that nobody reads from, and how many bytes of log each keeps.
        prepared: The prepared transactions that are older than an hour.
        feedback: Whether a standby tells its primary which rows its reads need.
        collation: What is wrong with the order of texts in indexes, None if nothing is.
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
    archives: int
    archive_places: tuple[str, ...]
    pooled: bool
    wholeness: Wholeness
    collation: str | None
    idle_slots: tuple[tuple[str, int], ...]
    prepared: tuple[str, ...]
    feedback: bool


async def survey(url: str, *, schema: str = DEFAULT_SCHEMA, primary: bool = False) -> Survey:
    """Look at a server. Nothing is changed.

    Args:
        url: Its address.
        schema: The store's.
        primary: Whether, of several hosts in the address, the one that accepts writes is meant.

    Raises:
        StoreUnavailable: It cannot be reached.
        StoreMisconfigured: The address or the credentials are wrong, there is no event store, or the role may not see
            it.
    """
    # Without prepared statements, which some poolers cannot keep.
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
        # A pooler tells its clients a process of its own making.
        pooled=row["process"] != told,
        wholeness=Wholeness.of(whole),
        collation=collation,
        idle_slots=tuple(zip(kept["slots"], kept["kept"], strict=True)),
        prepared=tuple(kept["prepared"]),
        feedback=kept["feedback"],
    )
