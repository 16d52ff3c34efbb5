"""Arrays in PostgreSQL's text format.

If a driver gets an array as a list, it inspects and converts each element by itself. That takes several times as long
as formatting one text here and having the server parse it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

__all__ = ["json_array", "moment_array", "name_array", "number_array"]

_SEPARATOR, _BETWEEN = "\x01", '","'


def number_array(numbers: Iterable[int]) -> str:
    """Format integers, or booleans as 1 and 0. An enumeration member is formatted as its number."""
    return f"{{{','.join(map(int.__repr__, numbers))}}}"


def moment_array(moments: Sequence[datetime | None]) -> str:
    """Format times with a zone. Their JSON already has an array's form: quoted texts, and null for None."""
    return f"{{{msgspec.json.encode(moments).decode()[1:-1]}}}"


def name_array(names: Iterable[str | None]) -> str:
    """Format strings; cached, for columns that hold few distinct strings."""
    return f"{{{','.join(map(_element, names))}}}"


def json_array(texts: Sequence[str]) -> str:
    """Format JSON texts, escaped in one pass: they are joined with a control character, which no JSON contains."""
    if not texts:
        return "{}"
    joined = _SEPARATOR.join(texts)
    if joined.count(_SEPARATOR) >= len(texts):
        # One text is no JSON, since it has the separator; the server must refuse that one only.
        return f"{{{','.join(map(_escaped, texts))}}}"
    return f"{{{_escaped(joined).replace(_SEPARATOR, _BETWEEN)}}}"


@lru_cache(1024)
def _element(name: str | None) -> str:
    if name is None:
        return "NULL"
    return _escaped(name)


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
