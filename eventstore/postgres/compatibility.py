"""The compatibility: whether this program and a database fit together."""

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.administration.wholeness import FEW_PAGES, Wholeness
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.statements import SCHEMA_VERSION, statement

__all__ = ["check_compatibility"]

# What append_v1 accepts, too.
_DURABLE = {"on", "remote_apply"}


async def check_compatibility(reader: Reader) -> None:
    """Make sure that this program and the database fit together.

    Raises:
        StoreMisconfigured: The database has no event store, or one that is older than this program, or one whose
            tables do not belong together, or it would promise commits that a crash can undo.
    """
    rows = await reader.rows(statement("head"))
    version, durability = rows[0]["schema_version"], rows[0]["synchronous_commit"]
    if version < SCHEMA_VERSION:
        raise StoreMisconfigured(
            f"the database's event store has schema version {version}, this program needs {SCHEMA_VERSION}: "
            "run `worker db migrate`"
        )
    if durability not in _DURABLE:
        raise StoreMisconfigured(
            f"the database's synchronous_commit must be 'on' or 'remote_apply', not {durability!r}: "
            "a crash could lose what was promised; change it with ALTER DATABASE or ALTER ROLE"
        )
    (row,) = await reader.rows(statement("whole"), FEW_PAGES)
    if (complaint := Wholeness.of(row).complaint) is not None:
        raise StoreMisconfigured(complaint)
