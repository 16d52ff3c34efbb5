"""The schema: what a store, and all that belongs to it, is called in its database.

The files of SQL are written for the store of the default name: its schema is ``eventstore``, its roles are
``eventstore_runtime`` and others, and the schemas ``reading`` and ``schedule`` lie beside it. For a store of another
name each is read with that in the place of these. So migrations, functions and statements have one text, and a store
that was there before is what it was.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.statements import sql_texts
from eventstore.schema_name import DEFAULT_SCHEMA, schema_name_complaint

__all__ = ["Schema", "schemas_beside"]

# A name in double quotes is nobody's of ours.
_OWN = re.compile(r'(?<![\w"])eventstore(?![^\W_]|")')
_LISTED = re.compile(
    r"((?:\bSCHEMA (?:IF (?:NOT )?EXISTS )?|\bsearch_path (?:=|TO) |\b(?:nspname|schemaname) = '))"
    r"([a-z0-9_]+(?:, [a-z0-9_]+)*)"
)
_CAST = re.compile(r"(?<=')([a-z_]+)(?='::regnamespace)")
# What the names of the schemas of projections must look like.
_PROJECTIONS = re.compile(r"'\^\((?=projection_)")
_LOCK = re.compile(r"(\bpg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\()(\d+)")
_LOCK_OF_HASH = re.compile(r"(\bpg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\(hashtextextended\([^\n]*?, )0(?=\))")
_KEYS = 1 << 30


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a store.

    Attributes:
        name: What it is called.

    Raises:
        StoreMisconfigured: It cannot be called so.
    """

    name: str = DEFAULT_SCHEMA
    _texts: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if (complaint := schema_name_complaint(self.name)) is not None:
            raise StoreMisconfigured(complaint)

    @property
    def is_default(self) -> bool:
        """Whether it is the one that the files of SQL are written for."""
        return self.name == DEFAULT_SCHEMA

    @property
    def whereabouts(self) -> str:
        """Where a store is, to be told behind its database: nothing for the default name."""
        return "" if self.is_default else f" in the schema {self.name}"

    def role(self, purpose: str) -> str:
        """Return one of its roles: ``runtime``, whose members read and append, or ``projections``."""
        return f"{self.name}_{purpose}"

    def beside(self, name: str) -> str:
        """Return what is called so beside the store of the default name: a schema, such as ``reading``."""
        return name if self.is_default else f"{self.name}_{name}"

    def lock(self, number: int) -> int:
        """Return the number of an advisory lock, of which each store of a database has its own."""
        return number ^ self._key

    def render(self, sql: str) -> str:
        """Return a statement of ours, or a name of something in it, for this schema.

        Args:
            sql: The same for the store of the default name; names of others stand in it in double quotes, if at all.
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
    """Return the schemas that files of SQL make beside a store's own."""
    made = re.compile(r"\bCREATE SCHEMA (?:IF NOT EXISTS )?([a-z_]+)")
    return frozenset(name for text in sql_texts() for name in made.findall(text)) - {DEFAULT_SCHEMA}


@cache
def _qualified() -> re.Pattern[str]:
    """Return what finds these where something in them is named."""
    return re.compile(rf'(?<![\w".])(?:{"|".join(sorted(schemas_beside()))})(?=\.[a-z_%])')
