"""The event store on PostgreSQL: the only package that knows asyncpg."""

from eventstore.postgres.engine import PostgresEventStore
from eventstore.postgres.measuring import Measures, measure
from eventstore.postgres.migrate import SCHEMA_VERSION, MigrationReport, migrate
from eventstore.postgres.pruning import LEAST_AGE, Prunable, count_prunable, prune, receipts_since
from eventstore.postgres.replicas import MOST_LAG
from eventstore.postgres.statements import Migration
from eventstore.postgres.stored_states import ViewStates, drop_states, list_states
from eventstore.postgres.surveying import Survey, survey

__all__ = [
    "LEAST_AGE",
    "MOST_LAG",
    "SCHEMA_VERSION",
    "Measures",
    "Migration",
    "MigrationReport",
    "PostgresEventStore",
    "Prunable",
    "Survey",
    "ViewStates",
    "count_prunable",
    "drop_states",
    "list_states",
    "measure",
    "migrate",
    "prune",
    "receipts_since",
    "survey",
]
