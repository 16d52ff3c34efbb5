"""Tables of followers: created from their declaration, shown to readers by views of constant names, and dropped."""

from collections.abc import Iterable
from typing import Any

from eventstore.postgres import Transaction
from handlers import Projection, Table
from worker.errors import ProjectionError
from worker.reading.followers import Followers
from worker.reading.names import read_schema, role_of, table_schema
from worker.reading.table_sql import create_table

__all__ = ["drop_tables", "make_tables", "show_tables", "tables_of"]

_COLUMNS = """
SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS kind
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY ($2)
ORDER BY c.relname, a.attnum
"""
_RELATIONS = """
SELECT c.relname, c.relkind::text AS kind, pg_catalog.pg_get_userbyid(c.relowner) AS owner
FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY ($2)
"""
_GRANTS = """
SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) AS grantee, g.grantee = 0 AS is_public,
    g.privilege_type
FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) g
WHERE c.relnamespace = to_regnamespace($1) AND c.relname = $2 AND g.grantee <> c.relowner
"""
_DEPENDENTS = """
SELECT DISTINCT v.oid::regclass::text AS name
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = format('%I.%I', $1::text, $2::text)::regclass
    AND v.oid <> d.refobjid
"""


async def make_tables(transaction: Transaction, follower_id: int, projection: Projection) -> None:
    """Create the empty tables of a follower, in a schema of their own."""
    schema = table_schema(transaction.schema, follower_id)
    await _own_schema(transaction, schema)
    role, made = role_of(transaction.schema), "; ".join(map(create_table, projection.tables))
    # Owned by the role, so that any of its members may later write and drop them.
    await transaction.script(f"SET LOCAL ROLE {role}; SET LOCAL search_path = {schema}, pg_temp; {made}; RESET ROLE")


async def show_tables(
    transaction: Transaction, domain: str, follower_id: int, tables: Iterable[Table], *, gone: Iterable[str] = ()
) -> None:
    """Let readers see the tables of a follower, under their declared names, from the end of the transaction on.

    Rights to read them are kept. Waits for transactions that read the views now, as long as ``lock_timeout``.

    Args:
        transaction: The transaction in which the views are replaced.
        domain: The domain's name.
        follower_id: Number of the follower.
        tables: The tables of the follower.
        gone: Names of tables that readers could read until now and that do not exist any more.

    Raises:
        ProjectionError: A relation of another owner has such a name, or a view of another owner depends on a table.
    """
    schema, role = read_schema(transaction.schema, domain), role_of(transaction.schema)
    source = table_schema(transaction.schema, follower_id)
    await _own_schema(transaction, schema)
    wanted = tuple(tables)
    names = [table.name for table in wanted]
    leaving = [name for name in gone if name not in names]
    for row in await transaction.fetch(_RELATIONS, schema, [*names, *leaving]):
        if row["owner"] != role or row["kind"] != "v":
            raise ProjectionError(
                f"{schema}.{row['relname']} belongs to {row['owner']}, and the table of a projection needs its name; "
                "rename one of them"
            )
    there: dict[str, list[tuple[str, str]]] = {}
    for row in await transaction.fetch(_COLUMNS, schema, [*names, *leaving]):
        there.setdefault(row["relname"], []).append((row["attname"], row["kind"]))
    script = [f"SET LOCAL ROLE {role}"]
    for table in wanted:
        before, after = there.get(table.name), _columns(table)
        if before is not None and after[: len(before)] != before:
            script += await _dropped(transaction, schema, table.name)
            script += [_view(schema, source, table), *await _granted(transaction, schema, table.name)]
        else:
            script.append(_view(schema, source, table))
    for name in leaving:
        if name in there:
            script += await _dropped(transaction, schema, name)
    await transaction.script("; ".join([*script, "RESET ROLE"]))


async def tables_of(transaction: Transaction, follower_id: int) -> list[str]:
    """Return the names of a follower's tables."""
    rows = await transaction.fetch(
        "SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'",
        table_schema(transaction.schema, follower_id),
    )
    return [row["relname"] for row in rows]


async def drop_tables(transaction: Transaction, follower_id: int) -> None:
    """Drop the tables of a removed follower, and their schema."""
    schema = table_schema(transaction.schema, follower_id)
    script = [
        f"SET LOCAL ROLE {role_of(transaction.schema)}",
        *(f'DROP TABLE {schema}."{name}"' for name in await tables_of(transaction, follower_id)),
    ]
    await transaction.script("; ".join([*script, f"DROP SCHEMA IF EXISTS {schema}", "RESET ROLE"]))
    await Followers(transaction).forget(follower_id)


async def _own_schema(transaction: Transaction, schema: str) -> None:
    owner = await Followers(transaction).make_schema(schema)
    if owner != role_of(transaction.schema):
        raise ProjectionError(
            f"the schema {schema} belongs to {owner}, and the tables of projections need its name; rename it, or the "
            "domain"
        )


def _view(schema: str, source: str, table: Table) -> str:
    columns = ", ".join(f'"{name}"' for name in table.columns)
    of = f'{source}."{table.name}"'
    return f'CREATE OR REPLACE VIEW {schema}."{table.name}" AS SELECT {columns} FROM {of}'  # noqa: S608  checked names


def _columns(table: Table) -> list[tuple[str, str]]:
    spelt = {"timestamptz": "timestamp with time zone"}
    return [(column.name, spelt.get(column.kind, column.kind)) for column in table.layout]


async def _dropped(transaction: Transaction, schema: str, name: str) -> list[str]:
    """Return the statements that drop a view, if no other view depends on it."""
    rows = await transaction.fetch(_DEPENDENTS, schema, name)
    if rows:
        others = ", ".join(row["name"] for row in rows)
        raise ProjectionError(
            f"{schema}.{name} gets other columns, and {others} depends on it: drop that, and create it again afterwards"
        )
    return [f'DROP VIEW {schema}."{name}"']


async def _granted(transaction: Transaction, schema: str, name: str) -> list[str]:
    """Return the statements that grant the current rights on a view again."""
    rows: Any = await transaction.fetch(_GRANTS, schema, name)
    return [
        f'GRANT {row["privilege_type"]} ON {schema}."{name}" TO {"PUBLIC" if row["is_public"] else row["grantee"]}'
        for row in rows
    ]
