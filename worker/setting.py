"""A setting: what a value from outside must be, what it means, and how its text is read."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

__all__ = ["Setting", "setting", "settings_of"]

_KEY = "setting"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one setting.

    Attributes:
        default: Its value when it is not set.
        meaning: What it means, in a sentence.
        kind: What its value is: ``str``, ``int``, ``float``, or ``tuple`` for texts that commas or lines separate.
        unit: What its number counts.
        least: What it must be at least.
        above: What it must be greater than.
        most: What it must be at most.
        choices: What it must be one of; empty if it is free.
        check: Raises a ``ValueError`` that says what else is wrong with a value.
        secret: Whether it holds a password or a key: it may lie in a file, and is shown without that.
    """

    default: Any
    meaning: str
    kind: type
    unit: str = ""
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], None] | None = None
    secret: bool = False

    def read(self, text: str) -> Any:
        """Return the value that a text stands for.

        Raises:
            ValueError: It stands for none, or for one that is not allowed. The error does not quote it.
        """
        value = self._parsed(text)
        self.see(value)
        return value

    def see(self, value: Any) -> None:
        """See that a value is allowed.

        Raises:
            ValueError: It is not. The error does not quote it.
        """
        if value is None and self.default is None:
            return
        if self.kind is float and not math.isfinite(value):
            raise ValueError("it must be a finite number")
        if self.least is not None and value < self.least:
            raise ValueError(f"it must be at least {self.least:,.12g}")
        if self.above is not None and value <= self.above:
            raise ValueError(f"it must be greater than {self.above:,.12g}")
        if self.most is not None and value > self.most:
            raise ValueError(f"it must be at most {self.most:,.12g}")
        if self.choices and value not in self.choices:
            raise ValueError(f"it must be one of {', '.join(self.choices)}")
        if self.check is not None:
            self.check(value)

    def _parsed(self, text: str) -> Any:
        if self.kind is tuple:
            return tuple(part.strip() for part in re.split(r"[,\n]", text) if part.strip())
        if self.kind is str:
            return text.strip()
        try:
            return self.kind(text)
        except ValueError:
            raise ValueError("it must be a whole number" if self.kind is int else "it must be a number") from None


def setting(default: _T, meaning: str, *, kind: type | None = None, **rules: Any) -> _T:
    """Give a dataclass a field with this default that is a setting.

    Args:
        default: As ``Setting`` has it.
        meaning: The same.
        kind: The same; by default what the default is.
        rules: What else ``Setting`` has.
    """
    made = Setting(default=default, meaning=meaning, kind=kind or type(default), **rules)
    # To a type checker, a field with a default is that default.
    found: _T = field(default=default, repr=not made.secret, metadata={_KEY: made})
    return found


def settings_of(kind: type) -> dict[str, Setting]:
    """Return what is known of each field of a dataclass that ``setting`` has made, by the field's name."""
    return {each.name: each.metadata[_KEY] for each in fields(kind) if _KEY in each.metadata}
