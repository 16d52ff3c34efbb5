"""Ages, as people write them: 30m, 36h, 90d."""

import re
from datetime import timedelta

from worker.failures import Mistake

__all__ = ["age", "told"]

_UNITS = {
    "s": ("seconds", timedelta(seconds=1)),
    "m": ("minutes", timedelta(minutes=1)),
    "h": ("hours", timedelta(hours=1)),
    "d": ("days", timedelta(days=1)),
    "w": ("weeks", timedelta(weeks=1)),
}
# Up to five digits: no useful age has more.
_AGE = re.compile(r"([0-9]{1,5})([smhdw])")


def age(text: str, *, units: str = "smhdw") -> timedelta:
    """Parse an age: a whole number and a unit.

    Args:
        text: The text, such as ``36h``.
        units: The units that are allowed, the smallest first.

    Raises:
        Mistake: The text is not an age in one of these units.
    """
    match = _AGE.fullmatch(text)
    if match is None or match[2] not in units:
        names = [_UNITS[unit][0] for unit in units]
        examples = [f"{number}{unit}" for unit, number in zip("mhdw", (30, 36, 90, 12), strict=True) if unit in units]
        raise Mistake(
            f"{text!r} is not an age: write {', '.join(names[:-1])} or {names[-1]}, as in {', '.join(examples[:-1])} "
            f"or {examples[-1]}."
        )
    return int(match[1]) * _UNITS[match[2]][1]


def told(age: timedelta) -> str:
    """Return an age in one unit, rounded down: in the largest unit of which there are at least two, or in seconds."""
    seconds = max(0, int(age.total_seconds()))
    for unit in ("d", "h", "m"):
        length = int(_UNITS[unit][1].total_seconds())
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
