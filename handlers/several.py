"""Several: the result of a function that may return None, one value, or several values."""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any

from pydantic import BaseModel

__all__ = ["several"]


def several(returned: Any, kind: type | UnionType) -> list[Any]:
    """Return the values in order.

    Args:
        returned: None, one value, or an iterable of values. A text, a mapping or a model counts as one value, although
            it is iterable.
        kind: The expected kind. Values of other kinds are returned as well; the caller refuses them.
    """
    if returned is None:
        return []
    if isinstance(returned, (kind, str, bytes, Mapping, BaseModel)) or not isinstance(returned, Iterable):
        return [returned]
    return list(returned)
