"""A setting: its default, its meaning, which values are allowed, and how it is parsed."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin

__all__ = ["Setting", "setting", "settings_of"]

_KEY = "setting"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The description of one setting.

    Attributes:
        default: Its value when it is not set.
        meaning: What it means, in a sentence.
        kind: Type of its value: ``str``, ``int``, ``float``, or ``tuple`` for texts separated by commas or lines.
        unit: Unit of a number.
        least: The smallest value allowed; None for no limit.
        above: A limit that the value must exceed; None for no limit.
        most: The largest value allowed; None for no limit.
        choices: The values allowed; empty if any is.
        check: A further check, which raises ``ValueError`` with what is wrong; None for no further check.
        secret: Whether it holds a password or key: it may be given by a file, and is shown without that.
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
        """Parse a text into the setting's value.

        Raises:
            ValueError: It cannot be parsed, or its value is not allowed. The message does not quote it.
        """
        value = self._parsed(text)
        self.see(value)
        return value

    def see(self, value: Any) -> None:
        """Check that a value is allowed.

        Raises:
            ValueError: It is not. The message does not quote it.
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
    """Return a dataclass field with this default that is a setting.

    Args:
        default: The setting's default.
        meaning: What the setting means, in a sentence.
        kind: Type of its value; by default that of ``default``.
        rules: Further attributes of ``Setting``.
    """
    made = Setting(default=default, meaning=meaning, kind=kind or type(default), **rules)
    # For a type checker, the value of a field with a default has that default's type.
    found: _T = field(default=default, repr=not made.secret, metadata={_KEY: made})
    return found


def settings_of(kind: type) -> dict[str, Setting]:
    """Return the description of each field of a dataclass that was made by ``setting``, by the field's name.

    The choices of a field are those of its type.
    """
    return {
        each.name: replace(each.metadata[_KEY], choices=get_args(each.type))
        if get_origin(each.type) is Literal
        else each.metadata[_KEY]
        for each in fields(kind)
        if _KEY in each.metadata
    }
