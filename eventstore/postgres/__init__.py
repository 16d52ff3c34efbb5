"""The event store on PostgreSQL: the only package that knows asyncpg."""

from eventstore.postgres.engine import PostgresEventStore
from eventstore.postgres.migrate import SCHEMA_VERSION, MigrationReport, migrate

__all__ = ["SCHEMA_VERSION", "MigrationReport", "PostgresEventStore", "migrate"]
