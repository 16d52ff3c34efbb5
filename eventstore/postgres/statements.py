"""The SQL statements, one file each under ``sql/``, written for the store with the default name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["SCHEMA_VERSION", "Migration", "migrations", "sql_texts", "statement"]


SCHEMA_VERSION = max(
    int(path.name.partition("_")[0]) for path in (files("eventstore.postgres") / "sql" / "migrations").iterdir()
)
"""The schema version that this program needs: the number of the last migration."""


@cache
def statement(name: str) -> str:
    """Return the text of ``sql/<name>.sql``; its header comment states purpose, parameters and result."""
    return (files("eventstore.postgres") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def sql_texts() -> Iterator[str]:
    """Iterate over the texts of all SQL files, migrations included."""
    folders = [files("eventstore.postgres") / "sql"]
    while folders:
        for path in folders.pop().iterdir():
            if path.is_dir():
                folders.append(path)
            elif path.name.endswith(".sql"):
                yield path.read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered step of the schema.

    Attributes:
        version: The migration's number: 1, 2, 3 …
        name: What the migration adds, as in its file name.
        sql: The statements, which run in one transaction.
        preparing: Statements that run first, outside a transaction; each can be repeated.
        finishing: Statements that remove what only earlier releases need, or None.
    """

    version: int
    name: str
    sql: str
    preparing: tuple[str, ...] = ()
    finishing: str | None = None


@cache
def migrations() -> tuple[Migration, ...]:
    """Return every migration, in order."""
    found = []
    for path in (files("eventstore.postgres") / "sql" / "migrations").iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        finishing, preparing = (
            files("eventstore.postgres") / "sql" / folder / path.name for folder in ("finishing", "preparing")
        )
        found.append(
            Migration(
                version=int(number),
                name=name,
                sql=path.read_text(encoding="utf-8"),
                preparing=tuple(preparing.read_text(encoding="utf-8").strip().split(";\n"))
                if preparing.is_file()
                else (),
                finishing=finishing.read_text(encoding="utf-8") if finishing.is_file() else None,
            )
        )
    return tuple(sorted(found, key=lambda migration: migration.version))
