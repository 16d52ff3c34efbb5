"""Kinds: what somebody gave where something else belongs, as the end of a sentence has it."""

from types import FunctionType, ModuleType

__all__ = ["kind_of"]


def kind_of(value: object) -> str:
    """Say what a value is, and nothing of what it holds: ``None``, ``the class Joined``, ``a Joined``."""
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
