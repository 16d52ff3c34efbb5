"""Deep copies, to see later whether somebody changed what was copied."""

import copyreg
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import MappingProxyType
from typing import Any, TypeVar

__all__ = ["deep_copy"]

T = TypeVar("T")


def deep_copy(value: T) -> T:
    """Return a deep copy. Unlike ``copy.deepcopy``, it copies read-only views of mappings.

    Raises:
        Exception: Whatever a class has against being copied.
    """
    with _copying_proxies():
        return deepcopy(value)


@contextmanager
def _copying_proxies() -> Iterator[None]:
    """Let ``deepcopy`` copy a ``MappingProxyType`` meanwhile: it has no door for that but one for the whole program."""
    if MappingProxyType in copyreg.dispatch_table:
        yield
        return
    copyreg.dispatch_table[MappingProxyType] = _reduced
    try:
        yield
    finally:
        copyreg.dispatch_table.pop(MappingProxyType, None)


def _reduced(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return MappingProxyType, (dict(proxy),)
