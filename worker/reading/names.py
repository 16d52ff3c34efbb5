"""Names in the database: of the schemas that a projection's tables, and what readers read, lie in."""

__all__ = ["ROLE", "read_schema", "table_schema"]

ROLE = "eventstore_projections"
"""The role that owns these schemas. Whoever runs projections is its member."""


def read_schema(domain: str) -> str:
    """Return where readers find the tables of a domain's projections."""
    return f"read_{domain.replace('-', '_')}"


def table_schema(follower_id: int) -> str:
    """Return where the tables lie that a follower fills."""
    return f"projection_{follower_id}"
