"""Deep copies, made to find out later whether the original was changed."""

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
        Exception: An object cannot be copied; the error of its class.
    """
    with _copying_proxies():
        return deepcopy(value)


@contextmanager
def _copying_proxies() -> Iterator[None]:
    """Let ``deepcopy`` copy a ``MappingProxyType`` in the context: the only hook for that is global to the process."""
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
