"""Parameter names: how help pages show the values of options and arguments."""

from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["name_plainly"]

# Limits from here on are not shown in words.
_BEYOND_WORDS = 2**31 - 1


def name_plainly(parameters: list[Any]) -> list[Any]:
    """Make help pages show ``--limit NUMBER [at least 1]`` and ``NAME``, not ``<int range> [x>=1]`` and ``{NAME}``.

    Args:
        parameters: The parameters of a command. Those with a metavar of their own, flags, and choices are left
            unchanged.

    Returns:
        The same parameters.
    """
    for parameter in parameters:
        parameter._get_number_range_help_str = partial(_range, parameter)  # noqa: SLF001  no other way in
        if parameter.param_type_name == "argument":
            # Its name says what it is.
            parameter.display_type_rich = lambda ctx: ""  # noqa: ARG005  Typer's to call
            if parameter.required:
                parameter._usage_display_name = lambda name=parameter.display_name_raw: name  # noqa: SLF001  as above
        elif parameter.metavar is None and not parameter.is_flag and not parameter.type_descriptor.is_choice:
            parameter.metavar = _value_of(parameter)
    return parameters


def _value_of(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if kind in (int, float):
        return "NUMBER"
    return "FILE" if kind is Path else str(parameter.opts[0]).lstrip("-").upper()


def _range(parameter: Any) -> str | None:
    least, most = parameter.min, parameter.max
    if most is not None and most < _BEYOND_WORDS:
        return f"at most {most}" if least is None else f"{least} to {most}"
    return f"at least {least}" if least else None
