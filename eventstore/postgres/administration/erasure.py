"""Erasure: a subject is forgotten by deleting the key of what it sealed. No event is changed."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.postgres.administration.administrator import administrator
from eventstore.postgres.connections.dialing import SessionAttribute
from eventstore.postgres.statements import statement
from eventstore.schema_name import DEFAULT_SCHEMA
from eventstore.subject_key import Forgetting, Subject

__all__ = ["KnownSubject", "find_subject", "forget"]

_PURPOSE = "worker db forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSubject:
    """What forgetting a subject would do.

    Attributes:
        made_at: Since when it has a key; None without one: there is nothing to forget.
        states: How many stored states would be deleted.
        before: The event that records that it was forgotten before, if there is one; the last of several.
        archived: Up to which number archived events may record that it was forgotten; None if none may.
    """

    made_at: datetime | None
    states: int
    before: int | None
    archived: int | None = None


async def find_subject(admin_url: str, subject: Subject, *, schema: str = DEFAULT_SCHEMA) -> KnownSubject:
    """See what forgetting a subject would do.

    Raises:
        StoreUnavailable: The server cannot be reached.
        StoreMisconfigured: The address, the credentials or the rights do not suffice, or there is no event store.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        row = await connection.fetchrow(statement("subject_known"), *subject)
    return KnownSubject(**dict(row or {}))


async def forget(admin_url: str, subject: Subject, *, schema: str = DEFAULT_SCHEMA) -> Forgetting:
    """Delete a subject's key and the states that may show what it sealed, and record that as an event: all, or nothing.

    Every append waits meanwhile, as for another append. Safe to repeat: without a key nothing is done.

    Args:
        admin_url: The address of the primary, with the role that owns the schema.
        subject: Whom.
        schema: The store's.

    Raises:
        StoreUnavailable: The server cannot be reached, or the connection was lost: then it may be done. Repeat it.
        StoreMisconfigured: The role may not forget.
    """
    async with administrator(
        admin_url, purpose=_PURPOSE, schema=schema, wanted=SessionAttribute.read_write
    ) as connection:
        row = await connection.fetchrow(statement("forget"), *subject)
    return Forgetting(**dict(row or {}))
