"""The ranges and tick labels of a chart's axes."""

import pytest

from worker.load.figures import duration
from worker.load.scale import Scale, counts, linear, logarithmic


def texts(scale: Scale) -> list[str]:
    return [tick.text for tick in scale.ticks]


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (126, 794, 8, ["100", "200", "500", "1,000"]),
        # Exactly on a tick, like a bin's edge.
        (100, 1000, 8, ["100", "200", "500", "1,000"]),
        (0.316, 2.51, 8, ["0.2", "0.5", "1", "2", "5"]),
        # A single value.
        (50, 50, 8, ["50", "100"]),
        # Too many ticks: fewer per decade, then only decades, then only some decades.
        (1, 1000, 8, ["1", "5", "10", "50", "100", "500", "1,000"]),
        (1, 1000, 4, ["1", "10", "100", "1,000"]),
        (1, 1e6, 4, ["1", "100", "10,000", "1,000,000"]),
    ],
)
def test_a_logarithmic_axis_has_1_2_and_5_of_each_decade(low: float, high: float, most: int, ticks: list[str]) -> None:
    scale = logarithmic(low, high, most=most)
    assert texts(scale) == ticks
    assert scale.low <= low < high * 1.0001 <= scale.high * 1.0001


@pytest.mark.parametrize(
    ("characters", "ticks"),
    [
        (60, ["5 ms", "10 ms", "50 ms", "100 ms", "500 ms", "1 s"]),
        # A label of 50 ms would touch that of 100 ms.
        (40, ["10 ms", "100 ms", "1 s"]),
        (14, ["10 ms", "1 s"]),
        (5, ["10 ms"]),
    ],
)
def test_labels_of_a_logarithmic_axis_do_not_touch(characters: float, ticks: list[str]) -> None:
    def milliseconds(value: float) -> str:
        return duration(value / 1000)

    assert texts(logarithmic(5, 2000, most=6, characters=characters, text=milliseconds)) == ticks


def test_on_a_logarithmic_axis_equal_factors_are_equally_far_apart() -> None:
    scale = logarithmic(10, 1000, most=8)
    assert [scale.at(value) for value in (10, 100, 1000)] == pytest.approx([0, 0.5, 1])
    assert (scale.at(0), scale.at(5000)) == (0, 1)


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (10, ["0", "2", "4", "6", "8", "10"]),
        (1234, ["0", "500", "1,000", "1,500"]),
        (0.3, ["0", "0.1", "0.2", "0.3"]),
        (0, ["0"]),
    ],
)
def test_an_axis_from_zero_ends_with_a_round_value(highest: float, ticks: list[str]) -> None:
    scale = linear(highest, most=5)
    assert texts(scale) == ticks
    assert scale.at(highest) <= 1


def test_a_time_axis_ends_with_the_load() -> None:
    scale = linear(31.6, most=8, is_rounded=False)
    assert texts(scale) == ["0", "5", "10", "15", "20", "25", "30"]
    assert (scale.high, scale.at(31.6)) == (31.6, 1)


@pytest.mark.parametrize(
    ("last", "ticks"), [(1, ["1"]), (4, ["1", "2", "3", "4"]), (30, ["5", "10", "15", "20", "25", "30"])]
)
def test_labels_are_centred_in_their_bands(last: int, ticks: list[str]) -> None:
    scale = counts(last, most=8)
    assert texts(scale) == ticks
    assert scale.at(1) == pytest.approx(0.5 / last)
