"""Parameter names: what a help page calls the value of an option or an argument, in a person's words."""

from pathlib import Path
from typing import Any

__all__ = ["name_plainly"]


def name_plainly(parameters: list[Any]) -> list[Any]:
    """Have help pages show ``--limit NUMBER`` and ``[KEY]...``, not ``--limit <int range>`` and ``<list[str]>``.

    Args:
        parameters: A command's. What names its value itself, is a flag, or has choices, keeps what it shows.

    Returns:
        The same.
    """
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            # Its name says what it is.
            parameter.display_type_rich = lambda ctx: ""  # noqa: ARG005  Typer's to call
        elif parameter.metavar is None and not parameter.is_flag and not parameter.type_descriptor.is_choice:
            parameter.metavar = _value_of(parameter)
    return parameters


def _value_of(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if kind in (int, float):
        return "NUMBER"
    return "FILE" if kind is Path else str(parameter.opts[0]).lstrip("-").upper()
