"""Erasure: a subject is forgotten by deleting the key that seals its fields. No event is changed."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.errors import OutcomeUnknown
from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.confirmation import confirmed
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.drivers.asyncpg import SchemaConnection
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA
from eventstore.subject_key import Forgetting, Subject

__all__ = ["KnownSubject", "find_subject", "forget"]

_PURPOSE = "worker db forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSubject:
    """What forgetting a subject would do.

    Attributes:
        made_at: When the subject's key was created; None without a key, so that there is nothing to forget.
        states: The number of stored states that would be deleted.
        before: The sequence number of the last event that records an earlier forgetting of the subject; None if there
            is none.
        archived: The last sequence number of an archived range that may record an earlier forgetting; None if there is
            none.
    """

    made_at: datetime | None
    states: int
    before: int | None
    archived: int | None = None


async def find_subject(admin_url: str, subject: Subject, *, schema: str = DEFAULT_SCHEMA) -> KnownSubject:
    """Look up what forgetting a subject would do.

    An earlier forgetting is reported once it is on every synchronous standby that commits wait for: until then, the key
    could come back in a failover.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, credentials or privileges do not suffice, or there is no event store.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        found = KnownSubject(**dict(await connection.fetchrow(statement("subject_known"), *subject) or {}))
        if found.made_at is None and (found.before is not None or found.archived is not None):
            await _wait_for_the_standby(connection)
    return found


async def forget(admin_url: str, subject: Subject, *, schema: str = DEFAULT_SCHEMA) -> Forgetting:
    """Delete a subject's key and all sensitive states, and record that as an event, in one transaction.

    All appends wait for it, as for another append. Safe to repeat: without a key nothing is done.

    Args:
        admin_url: The database URL of the primary, with the role that owns the schema.
        subject: The subject to forget.
        schema: The schema of the store.

    Raises:
        StoreUnavailable: The server cannot be reached, or the connection was lost; then the subject may be forgotten.
            Repeat the call.
        StoreMisconfigured: The role may not forget subjects.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        row = await connection.fetchrow(statement("forget"), *subject)
        # The server calls it a success, too, if somebody cuts its wait for the standby short: then the key could come
        # back with that standby. So it could after an earlier call that was killed.
        await _wait_for_the_standby(connection)
    return Forgetting(**dict(row or {}))


async def _wait_for_the_standby(connection: SchemaConnection) -> None:
    """Wait until a synchronous standby has all that was committed, however often that is cut short."""
    while True:
        try:
            with confirmed(connection):
                await connection.fetch(statement("confirm"))
        except OutcomeUnknown:
            continue
        return
