"""Names in the database: the schemas of a projection's tables, and of the views that readers use."""

from eventstore.postgres import Schema
from worker.errors import ProjectionError

__all__ = ["read_schema", "role_of", "table_schema"]

# PostgreSQL truncates longer names.
_LONGEST = 63


def role_of(schema: Schema) -> str:
    """Return the role that owns these schemas. The role that runs projections is a member of it."""
    return schema.role("projections")


def read_schema(schema: Schema, domain: str) -> str:
    """Return the schema in which readers find the tables of a domain's projections.

    Raises:
        ProjectionError: Its name would be too long.
    """
    name = schema.beside(f"read_{domain.replace('-', '_')}")
    if len(name) > _LONGEST:
        raise ProjectionError(
            f"the tables of {domain} would be in a schema {name}, and a name has {_LONGEST} characters at most: choose "
            "a shorter name for the store's schema, or for the domain"
        )
    return name


def table_schema(schema: Schema, follower_id: int) -> str:
    """Return the schema of the tables that a follower fills."""
    return schema.beside(f"projection_{follower_id}")
