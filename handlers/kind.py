"""Kinds: describes a value of a wrong type in an error message."""

from types import FunctionType, ModuleType

__all__ = ["kind_of"]


def kind_of(value: object) -> str:
    """Describe a value without its content: ``None``, ``the class Joined``, ``a Joined``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, FunctionType):
        return "a lambda" if value.__name__ == "<lambda>" else f"the function {value.__name__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"
