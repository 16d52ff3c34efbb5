"""The scale: where a value is on an axis of a chart, and which values are labelled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.load.figures import brief

__all__ = ["Scale", "Tick", "counts", "linear", "logarithmic"]

_STEPS = (1, 2, 5)
# The values of a decade that are labelled, from all of its steps to its first value alone.
_OF_A_DECADE = (_STEPS, (1, 5), (1,))


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled value of an axis.

    Attributes:
        value: The value.
        text: Its label.
    """

    value: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis.

    Attributes:
        low: The value at its beginning.
        high: The value at its end, higher than ``low``.
        ticks: The labelled values, in ascending order.
        is_logarithmic: Whether it is logarithmic. Then ``low`` is above zero.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    is_logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where a value is, from 0 at the beginning to 1 at the end; values outside are at the nearer end."""
        low, high = self.low, self.high
        if self.is_logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)


def linear(highest: float, *, most: int, is_rounded: bool = True, text: Callable[[float], str] = brief) -> Scale:
    """Return a linear scale from zero, with steps of 1, 2 or 5 times a power of ten.

    Args:
        highest: The highest value to show. If it is not above zero, the scale ends at 1.
        most: The most ticks, besides the one at zero.
        is_rounded: Whether it ends with a tick; if not, at the highest value.
        text: Formats the label of a tick.
    """
    if highest <= 0:
        return Scale(low=0.0, high=1.0, ticks=(Tick(0.0, text(0.0)),))
    step = _step(highest / most)
    count = math.ceil(highest / step - 1e-9) if is_rounded else math.floor(highest / step + 1e-9)
    ticks = tuple(Tick(number * step, text(number * step)) for number in range(count + 1))
    return Scale(low=0.0, high=count * step if is_rounded else highest, ticks=ticks)


def logarithmic(
    low: float, high: float, *, most: int, characters: float = math.inf, text: Callable[[float], str] = brief
) -> Scale:
    """Return a logarithmic scale that begins and ends with 1, 2 or 5 times a power of ten, as in 100, 200, 500, 1000.

    Args:
        low: The lowest value to show, above zero.
        high: The highest value to show.
        most: The most ticks; if there are more, only some of each decade are labelled.
        characters: The length of the axis, in characters of a label: labels that would touch are not chosen.
        text: Formats the label of a tick.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    every = [(power, factor) for power in range(first, last + 1) for factor in _STEPS]
    begin = max(each for each in every if _value(*each) <= low * (1 + 1e-9))
    end = min(each for each in every if _value(*each) >= high * (1 - 1e-9) and each > begin)
    inside = [(each[1], Tick(_value(*each), text(_value(*each)))) for each in every if begin <= each <= end]
    choices = [[tick for factor, tick in inside if factor in factors] for factors in _OF_A_DECADE]
    *_, decades = choices
    choices += [decades[::step] for step in range(2, len(decades) + 1)]
    per_decade = characters / (math.log10(_value(*end)) - math.log10(_value(*begin)))
    chosen = next((some for some in choices if len(some) <= most and _are_apart(some, per_decade)), choices[-1])
    return Scale(low=_value(*begin), high=_value(*end), ticks=tuple(chosen), is_logarithmic=True)


def _are_apart(ticks: Sequence[Tick], characters: float) -> bool:
    """Return whether a character's width and more is between the labels, if a decade is this many characters long."""
    return all(
        math.log10(after.value / before.value) * characters >= (len(before.text) + len(after.text)) / 2 + 1
        for before, after in pairwise(ticks)
    )


def counts(last: int, *, most: int) -> Scale:
    """Return a scale of the numbers from 1 on, each in the middle of its band.

    Args:
        last: The last number.
        most: The most labels.
    """
    step = max(round(_step(last / most)), 1)
    numbers = range(1, last + 1) if step == 1 else range(step, last + 1, step)
    return Scale(low=0.5, high=last + 0.5, ticks=tuple(Tick(number, f"{number:,}") for number in numbers))


def _step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least this."""
    power = math.floor(math.log10(least))
    return next(found for factor in (*_STEPS, 10) if (found := _value(power, factor)) >= least * (1 - 1e-9))


def _value(power: int, factor: int) -> float:
    # By way of text: 5 * 10 ** -1 is not always exactly 0.5.
    return float(f"{factor}e{power}")
