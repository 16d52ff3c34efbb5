"""Database addresses: of a primary, its replicas, and of its administrator; and the schema; for all domains, or one."""

from dataclasses import dataclass

from worker.address_form import check_url
from worker.setting import setting

__all__ = ["ADDRESS_FIELDS", "DEFAULT_SCHEMA", "EXAMPLES", "DatabaseAddresses", "check_postgres"]

ADDRESS_FIELDS = ("database_url", "database_replica_urls", "database_admin_url", "database_schema")
"""The fields, each of which is a setting for all domains, and can be one for a single domain."""

DEFAULT_SCHEMA = "eventstore"
"""The schema of a store that is given no other. The same as the store's own, which is not imported for a default."""

EXAMPLES = {
    "database_url": "postgresql://user:password@host:5432/database",
    "database_replica_urls": "postgresql://user:password@host:5432/database,…",
    "database_admin_url": "postgresql://owner:password@host:5432/database",
}
"""The form of each."""

_SCHEMES = frozenset({"postgres", "postgresql"})


def check_postgres(value: str) -> None:
    """See that an address is one of PostgreSQL's.

    Raises:
        ValueError: It is not. The error does not quote it.
    """
    check_url(value, _SCHEMES, EXAMPLES["database_url"])


def _schema(value: str) -> None:
    if value != DEFAULT_SCHEMA:
        from eventstore.schema_name import schema_name_complaint  # noqa: PLC0415  few need it, and a probe is short

        if (complaint := schema_name_complaint(value)) is not None:
            raise ValueError(complaint)


def _postgres_each(value: tuple[str, ...]) -> None:
    for url in value:
        if not url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES)):
            raise ValueError(
                f"each must have the form {EXAMPLES['database_url']}, with one host; a comma separates them: "
                "write it as %2C in a password"
            )
        check_url(url, _SCHEMES, EXAMPLES["database_url"])


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAddresses:
    """Where one event store is. The fields are settings, and read as such."""

    database_url: str = setting(
        "",
        "The primary database, as the role that may read and append.",
        check=check_postgres,
        secret=True,
    )
    database_replica_urls: tuple[str, ...] = setting(
        (),
        "Replicas for first reads, separated by commas; without any, the primary.",
        check=_postgres_each,
        secret=True,
    )
    database_admin_url: str = setting(
        "",
        "The primary database, as the role that owns the schema; for migrations.",
        check=check_postgres,
        secret=True,
    )
    database_schema: str = setting(
        DEFAULT_SCHEMA,
        "The schema that the event store is in: a database has room for several stores, one a schema.",
        check=_schema,
    )
