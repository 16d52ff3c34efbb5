"""Arrays as PostgreSQL writes them, each as one text.

Of an array that it is handed as a list, the driver looks at each element several times, to tell whether it is an array
itself, and converts it by itself. For numbers, names and moments that takes several times as long as to write the text
and to have the server read it; for other values it does not.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

import msgspec

__all__ = ["moment_array", "name_array", "number_array"]


def number_array(numbers: Iterable[int]) -> str:
    """Write integers, or booleans as 1 and 0. Of an enumeration it is the number."""
    return f"{{{','.join(map(int.__repr__, numbers))}}}"


def moment_array(moments: Sequence[datetime | None]) -> str:
    """Write times with a zone. Their JSON has quotes around them, as an array has, and null for None."""
    return f"{{{msgspec.json.encode(moments).decode()[1:-1]}}}"


def name_array(names: Iterable[str | None]) -> str:
    """Write strings of which a program uses few, again and again."""
    return f"{{{','.join(map(_element, names))}}}"


@lru_cache(1024)
def _element(name: str | None) -> str:
    if name is None:
        return "NULL"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
