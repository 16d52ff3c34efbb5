"""Wholeness: whether the log, the receipts and the head for earlier releases belong together."""

from dataclasses import dataclass
from typing import Self

from eventstore.counted import counted
from eventstore.postgres.drivers.protocol import Row

__all__ = ["FEW_PAGES", "MANY_PAGES", "Wholeness"]

FEW_PAGES = 50
"""The number of pages of receipts that are checked when the store is opened."""

MANY_PAGES = 2000
"""The number of pages of receipts that are checked for an administrator."""

_ADVICE = "restore into an empty database, and stop at the first error, as docs/backup.md says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wholeness:
    """The result of ``sql/whole.sql``.

    Attributes:
        first: The sequence number of the first event, 0 without events.
        last: The sequence number of the last event, 0 without events.
        archived: The last archived sequence number, 0 if there is none.
        kept_head: The head that earlier releases read; None if they can no longer run.
        looked_at: The number of receipts that were checked.
        strays: The number of those whose position is not in the log.
    """

    first: int
    last: int
    archived: int
    kept_head: int | None
    looked_at: int
    strays: int

    @classmethod
    def of(cls, row: Row) -> Self:
        """Convert the row of ``sql/whole.sql``."""
        return cls(**dict(row))

    @property
    def complaint(self) -> str | None:
        """What is wrong and how to repair it, or None."""
        if self.strays:
            return (
                f"of {counted(self.looked_at, 'receipt')} checked, {counted(self.strays, 'belongs', 'belong')} to "
                f"events that the log does not have, as after an incomplete restore: {_ADVICE}"
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
