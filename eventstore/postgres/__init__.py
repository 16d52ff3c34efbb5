"""The event store on PostgreSQL; the only package that imports the PostgreSQL drivers.

The names for administrators are imported on first use: workers and readers do not need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eventstore.postgres.connections.lent_reads import LentReads
from eventstore.postgres.connections.session import Prepared, Session, Transaction
from eventstore.postgres.engine import PostgresEventStore
from eventstore.postgres.reads.replicas import MOST_LAG
from eventstore.postgres.schema import Schema
from eventstore.postgres.statements import SCHEMA_VERSION, Migration

if TYPE_CHECKING:
    from eventstore.postgres.administration.archiving.moving import ArchiveReport, archive
    from eventstore.postgres.administration.archiving.restoring import RestoreReport, restore_archive
    from eventstore.postgres.administration.bulk.adoption import Adoption, adopt
    from eventstore.postgres.administration.bulk.importing import (
        CheckedImport,
        check_import,
        find_imports,
        import_events,
    )
    from eventstore.postgres.administration.bulk.recorder import Import
    from eventstore.postgres.administration.erasure import KnownSubject, find_subject, forget
    from eventstore.postgres.administration.migrations import MigrationReport, migrate, migrate_reading
    from eventstore.postgres.administration.pruning import LEAST_AGE, Prunable, count_prunable, prune, receipts_since
    from eventstore.postgres.administration.statistics import Measures, measure
    from eventstore.postgres.administration.stored_states import ViewStates, drop_states, list_states
    from eventstore.postgres.administration.survey import Survey, survey

__all__ = [
    "LEAST_AGE",
    "MOST_LAG",
    "SCHEMA_VERSION",
    "Adoption",
    "ArchiveReport",
    "CheckedImport",
    "Import",
    "KnownSubject",
    "LentReads",
    "Measures",
    "Migration",
    "MigrationReport",
    "PostgresEventStore",
    "Prepared",
    "Prunable",
    "RestoreReport",
    "Schema",
    "Session",
    "Survey",
    "Transaction",
    "ViewStates",
    "adopt",
    "archive",
    "check_import",
    "count_prunable",
    "drop_states",
    "find_imports",
    "find_subject",
    "forget",
    "import_events",
    "list_states",
    "measure",
    "migrate",
    "migrate_reading",
    "prune",
    "receipts_since",
    "restore_archive",
    "survey",
]

_LATER = {
    "administration.archiving.moving": ("ArchiveReport", "archive"),
    "administration.archiving.restoring": ("RestoreReport", "restore_archive"),
    "administration.bulk.adoption": ("Adoption", "adopt"),
    "administration.bulk.importing": ("CheckedImport", "check_import", "find_imports", "import_events"),
    "administration.bulk.recorder": ("Import",),
    "administration.erasure": ("KnownSubject", "find_subject", "forget"),
    "administration.migrations": ("MigrationReport", "migrate", "migrate_reading"),
    "administration.pruning": ("LEAST_AGE", "Prunable", "count_prunable", "prune", "receipts_since"),
    "administration.statistics": ("Measures", "measure"),
    "administration.stored_states": ("ViewStates", "drop_states", "list_states"),
    "administration.survey": ("Survey", "survey"),
}

# Hidden from type checkers: with a module-level ``__getattr__`` they would accept every name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        for module, names in _LATER.items():
            if name in names:
                found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
