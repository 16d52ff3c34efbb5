"""Several: what a function of somebody's returns where it may return nothing, one thing, or several."""

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any

from pydantic import BaseModel

__all__ = ["several"]


def several(returned: Any, kind: type | UnionType) -> list[Any]:
    """Return what there is, in order.

    Args:
        returned: None, one value, or values. A text, a mapping and a model are one: what they are made of is not meant.
        kind: What is meant. What is of another kind is returned as well, for its caller to refuse.
    """
    if returned is None:
        return []
    if isinstance(returned, (kind, str, bytes, Mapping, BaseModel)) or not isinstance(returned, Iterable):
        return [returned]
    return list(returned)
