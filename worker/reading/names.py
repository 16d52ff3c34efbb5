"""Names in the database: of the schemas that a projection's tables, and what readers read, lie in."""

from eventstore.postgres import Schema
from worker.errors import ProjectionError

__all__ = ["read_schema", "role_of", "table_schema"]

# PostgreSQL cuts longer names off.
_LONGEST = 63


def role_of(schema: Schema) -> str:
    """Return the role that owns these schemas of a store's. Whoever runs projections is its member."""
    return schema.role("projections")


def read_schema(schema: Schema, domain: str) -> str:
    """Return where readers find the tables of a domain's projections.

    Raises:
        ProjectionError: It cannot be called so.
    """
    name = schema.beside(f"read_{domain.replace('-', '_')}")
    if len(name) > _LONGEST:
        raise ProjectionError(
            f"the tables of {domain} would be in a schema {name}, and a name has {_LONGEST} characters at most: choose "
            "a shorter name for the store's schema, or for the domain"
        )
    return name


def table_schema(schema: Schema, follower_id: int) -> str:
    """Return where the tables lie that a follower fills."""
    return schema.beside(f"projection_{follower_id}")
