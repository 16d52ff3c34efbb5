"""Wholeness: whether the log, the receipts and the head that older builds read belong together."""

from dataclasses import dataclass
from typing import Self

from eventstore.counted import counted
from eventstore.postgres.drivers.protocol import Row

__all__ = ["FEW_PAGES", "MANY_PAGES", "Wholeness"]

FEW_PAGES = 50
"""Of the receipts, looked at by whoever opens the store."""

MANY_PAGES = 2000
"""Of the receipts, looked at where a person asks."""

_ADVICE = "restore into an empty database, and stop at the first error, as docs/backup.md says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wholeness:
    """What was found, by ``sql/whole.sql``.

    Attributes:
        first: The first event's number, 0 without events.
        last: The last event's.
        archived: The last one's that is archived, 0 if none is.
        kept_head: The head that older builds read, None where none is served.
        looked_at: How many receipts were looked at.
        strays: How many of these name a position that is not in the log.
    """

    first: int
    last: int
    archived: int
    kept_head: int | None
    looked_at: int
    strays: int

    @classmethod
    def of(cls, row: Row) -> Self:
        """Read the row of ``sql/whole.sql``."""
        return cls(**dict(row))

    @property
    def complaint(self) -> str | None:
        """What is wrong and what to do, or None."""
        if self.strays:
            return (
                f"of {counted(self.looked_at, 'receipt')} looked at, {counted(self.strays, 'is', 'are')} of events "
                f"that the log does not have, as after a restore that was cut short: {_ADVICE}"
            )
        if self.first > self.archived + 1:
            since = f", and what is archived ends at {self.archived:,}" if self.archived else ""
            return f"the log begins with event {self.first:,}{since}, so that earlier ones are lost: {_ADVICE}"
        if self.kept_head is not None and self.kept_head != self.last:
            return (
                f"the log ends at {self.last:,}, and the head that older builds read is {self.kept_head:,}, as after a "
                "restore without triggers: run `worker db migrate`, which sets it"
            )
        return None
