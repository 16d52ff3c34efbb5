"""Plain functions: what a domain's code is made of. Nothing of it is awaited, and nothing of it is iterated over."""

import inspect

from handlers.kind import kind_of

__all__ = ["refusal"]


def refusal(function: object) -> str | None:
    """Say why something is no plain function, as the end of a sentence about what is needed; None if it is one."""
    if not callable(function):
        return f"not {kind_of(function)}"
    # Of an object that can be called, its class says how. What a wrapper wraps is the wrapper's to call.
    for each in (function, getattr(type(function), "__call__", None)):  # noqa: B004  it is looked at, not whether it is
        if inspect.iscoroutinefunction(each):
            return "and this one is async: nothing is awaited here"
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            return "and this one yields: it must return"
    return None
