"""The condition of the database: what is or will be wrong with it, and what to do."""

from collections.abc import Iterator

from eventstore.counted import counted
from eventstore.postgres import MOST_LAG, SCHEMA_VERSION, Survey
from worker.cli.findings import Finding

__all__ = ["connections", "primary_condition", "replica_condition"]


def primary_condition(found: Survey, wanted: int) -> Iterator[Finding]:
    """Yield the findings about the primary.

    Args:
        found: The survey of the primary, made as the role of workers.
        wanted: How many connections one worker process opens to it.
    """
    yield _judged(
        "schema",
        good=found.schema_version >= SCHEMA_VERSION,
        well=f"version {found.schema_version}"
        + (
            "; it still serves older builds: when none runs any more, run `worker db migrate --finish`"
            * found.unfinished
        ),
        wrong=f"version {found.schema_version}, this program needs {SCHEMA_VERSION}: run `worker db migrate`.",
    )
    yield _role(found)
    yield _judged(
        "isolation",
        good=found.isolation == "read committed",
        well="read committed",
        wrong=f"default_transaction_isolation is {found.isolation!r}: workers set their own, but appends of every "
        "other program are refused; ALTER DATABASE … SET default_transaction_isolation = 'read committed'.",
    )
    yield _judged(
        "durability",
        good=found.durability in {"on", "remote_apply"},
        well=f"synchronous_commit = {found.durability}",
        wrong=f"synchronous_commit is {found.durability!r}, with which a crash can lose acknowledged commands, so "
        "workers refuse to start; ALTER DATABASE … SET synchronous_commit = on.",
    )
    yield _indexes(found)
    yield _judged(
        "guard",
        good=found.guarded,
        well="changes of events are refused",
        wrong="events can be changed and deleted, as after a restore without triggers: run `worker db migrate`, "
        "which enables the triggers.",
    )
    complaint = found.wholeness.complaint
    yield _judged(
        "log",
        good=complaint is None,
        well=f"{counted(found.head, 'event')}, and {counted(found.wholeness.looked_at, 'receipt')} checked",
        wrong=f"{complaint}.",
    )
    yield _partitions(found)
    yield _archives(found)
    yield _retention(found)
    yield connections(found, wanted)
    yield _judged(
        "pooler",
        good=not found.pooled,
        well="none in between",
        wrong="a pooler answers at this address. Only session pooling keeps the settings and statements of a "
        "connection; let DATABASE_URL name PostgreSQL itself, since workers pool their connections themselves.",
    )


def replica_condition(found: Survey, head: int | None) -> Finding:
    """Return the finding about a replica.

    Args:
        found: The survey of the replica.
        head: The primary's head shortly before; None if it cannot be asked.
    """
    if not found.in_recovery:
        return _wrong("replica", "it accepts writes, so it is not a replica; correct DATABASE_REPLICA_URLS.")
    if not found.may_work:
        return _wrong(
            "replica", f"it answers, but the role {found.role} may not read there; correct DATABASE_REPLICA_URLS."
        )
    if not found.feedback:
        return _wrong(
            "replica",
            "hot_standby_feedback is off: a long read there delays the replay of vacuums and of all later changes, "
            "and is cancelled in the end; set it to on.",
        )
    if head is None:
        return _well("replica", "answers; its lag is unknown without the primary")
    behind = max(0, head - found.head)
    return _judged(
        "replica",
        good=behind <= MOST_LAG,
        well=f"answers reads, {counted(behind, 'event')} behind",
        wrong=f"{counted(behind, 'event')} behind: no read goes there until it is within {MOST_LAG:,}; check whether "
        "it still receives from the primary (pg_stat_wal_receiver), and whether its replay is paused.",
    )


def connections(found: Survey, wanted: int) -> Finding:
    """Return the finding about how many worker processes the server has connections for.

    Args:
        found: The survey of the server.
        wanted: How many connections one worker process opens to it.
    """
    processes = found.connections // wanted
    return _judged(
        "connections",
        good=processes > 0,
        well=f"{found.connections:,}, enough for {counted(processes, 'worker process', 'worker processes')} of "
        f"{wanted} each",
        wrong=f"{found.connections:,}, and one worker process opens {wanted}: raise max_connections, or "
        "lower WORKER_CONCURRENCY.",
    )


def _retention(found: Survey) -> Finding:
    """Return the finding about what keeps log files and old rows until the disk is full or reads are slow."""
    if found.idle_slots:
        told = ", ".join(f"{name} ({counted(kept, 'byte')})" for name, kept in found.idle_slots)
        return _wrong(
            "retention",
            f"no reader uses {told}, and a slot keeps WAL files until they are read: bring its reader back, or SELECT "
            "pg_drop_replication_slot(…); max_slot_wal_keep_size limits the files.",
        )
    return _judged(
        "retention",
        good=not found.prepared,
        well="no abandoned slot or prepared transaction",
        wrong=f"transactions prepared more than an hour ago, and not ended: {', '.join(found.prepared)}; COMMIT "
        "PREPARED or ROLLBACK PREPARED them, since old rows are kept until then.",
    )


def _partitions(found: Survey) -> Finding:
    """Return the finding about whether the log has room in its partitions."""
    if found.bound is not None:
        return _wrong(
            "partitions",
            f"the log ends at {found.bound:,} until `worker db migrate --partition-size` has finished, with room for "
            f"{counted(max(0, found.bound - found.head), 'further event')}: if it was interrupted, run it again.",
        )
    if found.partition_size is None or found.last_number is None:
        return _well("partitions", "none: the log is one table")
    room = found.last_number - found.head
    return _judged(
        "partitions",
        good=room >= found.partition_size,
        well=f"{found.partitions}, with room for {counted(room, 'further event')}",
        wrong=f"room for only {counted(room, 'further event')}, since no worker has made the next partition: see the "
        "reason in the workers' logs, and run `worker db migrate`, which makes it.",
    )


def _archives(found: Survey) -> Finding:
    """Return the finding about archived events. Whether the files still exist is not checked."""
    if not found.archives:
        return _well("archive", "none: the database has the whole log")
    places = ", ".join(found.archive_places)
    ranges = counted(found.archives, "range")
    return _well("archive", f"events 1 to {found.wholeness.archived:,}, in {ranges}, were moved to {places}")


def _role(found: Survey) -> Finding:
    if not found.may_work:
        return _wrong("role", f"{found.role} may not read and append: GRANT {found.schema}_runtime TO {found.role}.")
    return _judged(
        "role",
        good=not found.may_change,
        well=f"{found.role} may read and append, and nothing else",
        wrong=f"{found.role} may change the tables by hand: let workers log in as a role that is a member of "
        f"{found.schema}_runtime, and nothing more.",
    )


def _indexes(found: Survey) -> Finding:
    if found.collation is not None:
        return _wrong("indexes", f"{found.collation}.")
    if found.missing_indexes:
        names = ", ".join(found.missing_indexes)
        return _wrong(
            "indexes",
            f"{names}: missing or not valid, so reads scan the whole log; create them as the schema defines them.",
        )
    return _judged(
        "indexes",
        good=found.without_pending_list,
        well="valid, without a pending list",
        wrong="the index on the payload has a pending list, which slows every read: ALTER INDEX "
        f"{found.schema}.events_payload SET (fastupdate = off), then SELECT "
        f"gin_clean_pending_list('{found.schema}.events_payload').",
    )


def _judged(part: str, *, good: bool, well: str, wrong: str) -> Finding:
    return _well(part, well) if good else _wrong(part, wrong)


def _well(part: str, text: str) -> Finding:
    return Finding(part=part, good=True, text=text)


def _wrong(part: str, text: str) -> Finding:
    return Finding(part=part, good=False, text=text)
