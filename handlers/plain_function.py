"""Plain functions: the only callables that a domain may use. They are neither async nor generators."""

import inspect

from handlers.kind import kind_of

__all__ = ["refusal"]


def refusal(function: object) -> str | None:
    """Return why an object is no plain function, as the end of an error message; None if it is one."""
    if not callable(function):
        return f"not {kind_of(function)}"
    # The class of a callable object has its code. A wrapped function is called by its wrapper.
    for each in (function, getattr(type(function), "__call__", None)):  # noqa: B004  it is looked at, not whether it is
        if inspect.iscoroutinefunction(each):
            return "and this one is async: nothing is awaited here"
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            return "and this one yields: it must return"
    return None
