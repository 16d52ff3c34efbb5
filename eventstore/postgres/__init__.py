"""The event store on PostgreSQL: the only package that knows asyncpg."""

from eventstore.postgres.engine import PostgresEventStore
from eventstore.postgres.migrate import SCHEMA_VERSION, MigrationReport, migrate
from eventstore.postgres.pruning import LEAST_AGE, Prunable, count_prunable, prune

__all__ = [
    "LEAST_AGE",
    "SCHEMA_VERSION",
    "MigrationReport",
    "PostgresEventStore",
    "Prunable",
    "count_prunable",
    "migrate",
    "prune",
]
