"""Database addresses: primary, replicas, administrator's address and schema, for all domains or for one."""

from dataclasses import dataclass

from worker.address_form import check_url
from worker.setting import setting

__all__ = ["ADDRESS_FIELDS", "DEFAULT_SCHEMA", "EXAMPLES", "DatabaseAddresses", "check_postgres"]

ADDRESS_FIELDS = ("database_url", "database_replica_urls", "database_admin_url", "database_schema")
"""The fields that are settings for all domains, and can also be set for a single domain."""

DEFAULT_SCHEMA = "eventstore"
"""The schema of a store for which none is set. Equal to the store's own default, which is not imported here."""

EXAMPLES = {
    "database_url": "postgresql://user:password@host:5432/database",
    "database_replica_urls": "postgresql://user:password@host:5432/database,…",
    "database_admin_url": "postgresql://owner:password@host:5432/database",
}
"""A valid example of each address."""

_SCHEMES = frozenset({"postgres", "postgresql"})


def check_postgres(value: str) -> None:
    """Check that an address is one of PostgreSQL.

    Raises:
        ValueError: It is not. The message does not quote it.
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
    """The addresses of one event store. The fields are settings, and are read as such."""

    database_url: str = setting(
        "",
        "The primary database, with a role that may read and append.",
        check=check_postgres,
        secret=True,
    )
    database_replica_urls: tuple[str, ...] = setting(
        (),
        "Replicas for first reads, separated by commas; without any, the primary answers.",
        check=_postgres_each,
        secret=True,
    )
    database_admin_url: str = setting(
        "",
        "The primary database, with the role that owns the schema; for migrations.",
        check=check_postgres,
        secret=True,
    )
    database_schema: str = setting(
        DEFAULT_SCHEMA,
        "The schema of the event store; one database can hold several stores, each in its own schema.",
        check=_schema,
    )
