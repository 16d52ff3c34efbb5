"""The compatibility check between this program and a database."""

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.administration.wholeness import FEW_PAGES, Wholeness
from eventstore.postgres.connections.confirmation import check_durability
from eventstore.postgres.reads.reader import Reader
from eventstore.postgres.statements import SCHEMA_VERSION, statement

__all__ = ["check_compatibility"]


async def check_compatibility(reader: Reader) -> None:
    """Check that this program can use the database's event store.

    Raises:
        StoreMisconfigured: The database has no event store, its schema is older than this program, its tables do not
            belong together, or its ``synchronous_commit`` would acknowledge commits that a crash can undo.
    """
    rows = await reader.rows(statement("head"))
    version, durability = rows[0]["schema_version"], rows[0]["synchronous_commit"]
    if version < SCHEMA_VERSION:
        raise StoreMisconfigured(
            f"the database's event store has schema version {version}, this program needs {SCHEMA_VERSION}: "
            "run `worker db migrate`"
        )
    check_durability(durability)
    (row,) = await reader.rows(statement("whole"), FEW_PAGES)
    if (complaint := Wholeness.of(row).complaint) is not None:
        raise StoreMisconfigured(complaint)
