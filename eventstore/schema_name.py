"""Schema names: the names that a store's schema can have in its database."""

import re

__all__ = ["DEFAULT_SCHEMA", "LONGEST_NAME", "RESERVED_WORDS", "schema_name_complaint"]

_WORDS = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char
character check coalesce collate collation column concurrently constraint create cross current_catalog current_date
current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do
else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping having ilike
in initially inner inout int integer intersect interval into is isnull join json json_array json_arrayagg json_exists
json_object json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least left like
limit localtime localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset
on only or order out outer overlaps overlay placing position precision primary real references returning right row
select session_user setof similar smallint some substring symmetric system_user table tablesample then time timestamp to
trailing treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes
xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""


DEFAULT_SCHEMA = "eventstore"
"""The schema of a store if no other is given."""

LONGEST_NAME = 40
"""The largest number of characters in a schema name: objects named after it must fit PostgreSQL's limit, too."""

RESERVED_WORDS = frozenset(_WORDS.split())
"""The SQL key words that PostgreSQL refuses as a schema name, at least in some places."""

_FORM = re.compile(r"[a-z][a-z0-9_]*")
# Names derived from a store's name. A schema with such a name could be mistaken for a part of another store, or collide
# with one created later.
_NAMED_AFTER = re.compile(r"(^|_)(reading|schedule|archive|projection_[0-9]+|read_.*)$|_(runtime|projections)$")
_TAKEN = frozenset({"public", "information_schema"})


def schema_name_complaint(name: str) -> str | None:
    """Return a sentence that says what is wrong with the name of a store's schema, or None.

    A text that is not of the form of a name is not quoted in the sentence: it may be an address with a password.
    """
    if not _FORM.fullmatch(name) or len(name) > LONGEST_NAME:
        return f"the name of a schema has up to {LONGEST_NAME} small letters, digits and _, and begins with a letter"
    if name in RESERVED_WORDS:
        return f"no schema can be called {name!r}, which is a word of SQL: choose another name, such as {name}_1"
    if name in _TAKEN or name.startswith("pg_"):
        return f"no store can be in the schema {name!r}, which PostgreSQL reserves: choose another name"
    if _NAMED_AFTER.search(name):
        return f"the schema {name!r} could belong to another store: choose another name"
    return None
