"""Rights in the database: what a role that runs followers or a schedule lacks there."""

from collections.abc import Mapping, Sequence

from eventstore.postgres import Session
from eventstore.schema_name import DEFAULT_SCHEMA
from worker.reading.names import role_of

__all__ = ["READING", "SCHEDULE", "missing_rights"]

READING: Mapping[str, Sequence[str]] = {
    "reading": ("take_v1", "renew_v1", "advance_v1", "advance_v2", "move_v1", "fail_v2")
}
"""What followers need: for each schema its functions, including the last one of each migration."""

SCHEDULE: Mapping[str, Sequence[str]] = {**READING, "schedule": ("keep_v1", "put_v1", "claim_v1", "sent_v1")}
"""What schedules need."""

# Purpose: return what a role lacks for followers or schedules.
# Parameters: the role that it must be a member of; the schemas; the functions, each with its schema.
# Result: one row: the role in use; whether it is a member; what does not exist; what exists and may not be used.
_LOOK = """
SELECT current_user AS who,
    EXISTS (SELECT FROM pg_roles r WHERE r.rolname = $1 AND pg_has_role(r.oid, 'MEMBER')) AS is_member,
    ARRAY (
        SELECT s FROM unnest($2::text[]) s WHERE to_regnamespace(s) IS NULL
        UNION ALL
        SELECT f FROM unnest($3::text[]) f
        WHERE NOT EXISTS (
            SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = split_part(f, '.', 1) AND p.proname = split_part(f, '.', 2)
        )
    ) AS absent,
    ARRAY (
        SELECT 'USAGE ON SCHEMA ' || n.nspname FROM pg_namespace n
        WHERE n.nspname = ANY ($2) AND NOT has_schema_privilege(n.oid, 'USAGE')
        UNION ALL
        SELECT 'EXECUTE ON FUNCTION ' || n.nspname || '.' || p.proname
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = ANY ($2) AND NOT has_function_privilege(p.oid, 'EXECUTE')
        UNION ALL
        SELECT 'SELECT ON ' || n.nspname || '.' || c.relname
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY ($2) AND c.relkind = 'r' AND NOT has_table_privilege(c.oid, 'SELECT')
    ) AS refused
"""
_MOST_TOLD = 3


async def missing_rights(
    url: str, needed: Mapping[str, Sequence[str]], *, migration: str, schema: str = DEFAULT_SCHEMA
) -> str | None:
    """Return which rights the role of an address lacks, and what to do, for people; None if it has all.

    Args:
        url: Address of the database.
        needed: ``READING`` or ``SCHEDULE``.
        migration: The command that creates what is missing.
        schema: The schema of the store.

    Raises:
        EventStoreError: The database cannot be read.
    """
    session = Session(url, purpose="worker check", schema=schema, reads=True)
    there = {session.schema.beside(each): names for each, names in needed.items()}
    functions = [f"{each}.{name}" for each, names in there.items() for name in names]
    role = role_of(session.schema)
    try:
        async with session.transaction() as transaction:
            (row,) = await transaction.fetch(_LOOK, role, list(there), functions)
    finally:
        await session.close()
    if absent := row["absent"]:
        return f"{_some(absent)} missing: run `{migration}`"
    if not row["is_member"]:
        return f"{row['who']} is not a member of {role}: GRANT {role} TO {row['who']}"
    if refused := row["refused"]:
        return f"the role {role} lacks {_some(refused)}: grant it to the role again"
    return None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_TOLD:,} more" if len(names) > _MOST_TOLD else ""
    return ", ".join(names[:_MOST_TOLD]) + more
