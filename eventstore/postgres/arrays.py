"""Arrays as PostgreSQL writes them, each as one text.

Of an array that it is handed as a list, the driver looks at each element several times, to tell whether it is an array
itself, and converts it by itself. That takes several times as long as to write the text and to have the server read it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

__all__ = ["json_array", "moment_array", "name_array", "number_array"]

_SEPARATOR, _BETWEEN = "\x01", '","'


def number_array(numbers: Iterable[int]) -> str:
    """Write integers, or booleans as 1 and 0. Of an enumeration it is the number."""
    return f"{{{','.join(map(int.__repr__, numbers))}}}"


def moment_array(moments: Sequence[datetime | None]) -> str:
    """Write times with a zone. Their JSON has quotes around them, as an array has, and null for None."""
    return f"{{{msgspec.json.encode(moments).decode()[1:-1]}}}"


def name_array(names: Iterable[str | None]) -> str:
    """Write strings of which a program uses few, again and again."""
    return f"{{{','.join(map(_element, names))}}}"


def json_array(texts: Sequence[str]) -> str:
    """Write texts of JSON, all of them at once: none has a control character, which separates them meanwhile."""
    if not texts:
        return "{}"
    joined = _SEPARATOR.join(texts)
    if joined.count(_SEPARATOR) >= len(texts):
        # One is no JSON, and only that one is to be refused.
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
