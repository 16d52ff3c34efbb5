"""The event store on PostgreSQL: the only package that knows asyncpg."""

from eventstore.postgres.administration.migrations import SCHEMA_VERSION, MigrationReport, migrate
from eventstore.postgres.administration.pruning import LEAST_AGE, Prunable, count_prunable, prune, receipts_since
from eventstore.postgres.administration.statistics import Measures, measure
from eventstore.postgres.administration.stored_states import ViewStates, drop_states, list_states
from eventstore.postgres.administration.survey import Survey, survey
from eventstore.postgres.engine import PostgresEventStore
from eventstore.postgres.reads.replicas import MOST_LAG
from eventstore.postgres.statements import Migration

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
