"""The schema: the names of a store and of its other objects in a database.

The SQL files are written for a store with the default name: its schema is ``eventstore``, its roles are
``eventstore_runtime`` and others, and the schemas ``reading`` and ``schedule`` lie beside it. For a store with another
name, these names are replaced in each text. So migrations, functions and statements have one text, and an existing
store with the default name does not change.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.statements import sql_texts
from eventstore.schema_name import DEFAULT_SCHEMA, schema_name_complaint

__all__ = ["Schema", "schemas_beside"]

# A name in double quotes is not one of the store's own.
_OWN = re.compile(r'(?<![\w"])eventstore(?![^\W_]|")')
_LISTED = re.compile(
    r"((?:\bSCHEMA (?:IF (?:NOT )?EXISTS )?|\bsearch_path (?:=|TO) |\b(?:nspname|schemaname) = '))"
    r"([a-z0-9_]+(?:, [a-z0-9_]+)*)"
)
_CAST = re.compile(r"(?<=')([a-z_]+)(?='::regnamespace)")
# The pattern in SQL that the schema names of projections match.
_PROJECTIONS = re.compile(r"'\^\((?=projection_)")
_LOCK = re.compile(r"(\bpg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\()(\d+)")
_LOCK_OF_HASH = re.compile(r"(\bpg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\(hashtextextended\([^\n]*?, )0(?=\))")
_KEYS = 1 << 30


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a store.

    Attributes:
        name: The schema's name.

    Raises:
        StoreMisconfigured: ``schema_name_complaint`` refuses the name.
    """

    name: str = DEFAULT_SCHEMA
    _texts: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if (complaint := schema_name_complaint(self.name)) is not None:
            raise StoreMisconfigured(complaint)

    @property
    def is_default(self) -> bool:
        """Whether this is the schema that the SQL files are written for."""
        return self.name == DEFAULT_SCHEMA

    @property
    def whereabouts(self) -> str:
        """A suffix for messages that name the database; empty for the default schema."""
        return "" if self.is_default else f" in the schema {self.name}"

    def role(self, purpose: str) -> str:
        """Return the name of a role of the store: ``runtime``, whose members read and append, or ``projections``."""
        return f"{self.name}_{purpose}"

    def beside(self, name: str) -> str:
        """Return this store's name for a schema, such as ``reading``, that lies beside the default store."""
        return name if self.is_default else f"{self.name}_{name}"

    def lock(self, number: int) -> int:
        """Return the number of an advisory lock for this store; each store of a database has its own."""
        return number ^ self._key

    def render(self, sql: str) -> str:
        """Return SQL text of the default store, rewritten for this schema.

        Args:
            sql: A statement, or a name in one, as written for the default store. Names of other objects must be in
                double quotes.
        """
        if (text := self._texts.get(sql)) is None:
            text = self._texts[sql] = sql if self.is_default else self._rendered(sql)
        return text

    @property
    def _key(self) -> int:
        if self.is_default:
            return 0
        return int.from_bytes(blake2b(self.name.encode(), digest_size=4).digest(), "big") % _KEYS

    def _rendered(self, sql: str) -> str:
        text = _OWN.sub(self.name, sql)
        text = _LISTED.sub(lambda found: found[1] + ", ".join(map(self._named, found[2].split(", "))), text)
        text = _CAST.sub(lambda found: self._named(found[1]), text)
        text = _qualified().sub(lambda found: self.beside(found[0]), text)
        text = _PROJECTIONS.sub(f"'^{self.name}_(", text)
        text = _LOCK.sub(lambda found: f"{found[1]}{self.lock(int(found[2]))}", text)
        return _LOCK_OF_HASH.sub(lambda found: f"{found[1]}{self._key}", text)

    def _named(self, name: str) -> str:
        return self.beside(name) if name in schemas_beside() else name


@cache
def schemas_beside() -> frozenset[str]:
    """Return the schemas that the SQL files create beside a store's own."""
    made = re.compile(r"\bCREATE SCHEMA (?:IF NOT EXISTS )?([a-z_]+)")
    return frozenset(name for text in sql_texts() for name in made.findall(text)) - {DEFAULT_SCHEMA}


@cache
def _qualified() -> re.Pattern[str]:
    """Return a pattern that matches these schemas where a name in them is qualified."""
    return re.compile(rf'(?<![\w".])(?:{"|".join(sorted(schemas_beside()))})(?=\.[a-z_%])')
