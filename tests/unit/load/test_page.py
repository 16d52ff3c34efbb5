"""The page is well-formed, stands by itself, and shows what it was given, whatever that contains."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.unit.load.runs import empty, random_summary, summary
from worker.load.chart import Chart, Line, Tick, brief, columns, lines, seconds_ticks
from worker.load.page import page
from worker.load.report import report
from worker.load.summary import Summary

RUNS = {
    "clean": summary(),
    "wrong": summary(violations=30),
    "empty": empty(),
    **{f"random-{seed}": random_summary(seed) for seed in range(6)},
}
every_run = pytest.mark.parametrize("made", RUNS.values(), ids=RUNS)
SVG = "{http://www.w3.org/2000/svg}"


class Outline(HTMLParser):
    """Checks that every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Outline:
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    return outline


@every_run
def test_it_is_well_formed_and_needs_nothing_else(made: Summary) -> None:
    text = page(made, "what <it> stresses")
    outline = read(text)
    assert outline.addresses == []
    assert "script" not in outline.seen
    assert "url(" not in text
    assert "@import" not in text
    assert len(text) < 300_000
    # The markup is XML, too, the entity-free HTML that a strict parser takes.
    ET.fromstring(text.removeprefix("<!DOCTYPE html>"))  # noqa: S314  our own


@every_run
def test_every_chart_has_its_axes_named_and_says_what_it_shows(made: Summary) -> None:
    document = ET.fromstring(page(made).removeprefix("<!DOCTYPE html>"))  # noqa: S314  our own
    charts = list(document.iter("svg"))
    assert len(charts) == (5 if made.latency_ms is not None else 3)
    for chart in charts:
        assert chart.get("role") == "img"
        assert chart.get("aria-label")
        labels = ["".join(text.itertext()) for text in chart.iter("text") if "label" in (text.get("class") or "")]
        assert len(labels) == 2
        assert all(float(rect.get("height") or "x") >= 0 for rect in chart.iter("rect"))


def test_what_messages_brought_is_shown_and_nothing_more() -> None:
    text = page(RUNS["wrong"])
    assert "<script>" not in text
    assert "\x1b" not in text
    outline = read(text)
    shown = "".join(outline.text)
    assert "<script>alert('reader')</script>" in shown
    assert r"number 0 is \x1b[31mred & <wrong>" in shown
    assert "and 10 more" in shown


def test_it_has_both_themes() -> None:
    text = page(RUNS["clean"])
    assert "color-scheme: light dark" in text
    assert "@media (prefers-color-scheme: dark)" in text
    light, dark = (dict(re.findall(r"(--\w+): (#\w{6})", part)) for part in text.split("prefers-color-scheme", 1))
    assert light.keys() == dark.keys()
    for theme in (light, dark):
        for name in ("--text", "--soft", "--good", "--bad"):
            assert contrast(theme[name], theme["--panel"]) >= 4.5, name
        for name in ("--one", "--two", "--mark"):
            assert contrast(theme[name], theme["--panel"]) >= 3, name


def contrast(one: str, other: str) -> float:
    """The ratio that the Web Content Accessibility Guidelines define."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@every_run
def test_the_terminal_shows_the_same_run(made: Summary) -> None:
    console = Console(width=120, color_system=None)
    with console.capture() as drawn:
        for part in report(made):
            console.print(part)
    text = drawn.get()
    assert "\x1b" not in text
    assert f"verdict: {f'{made.violations} violations' if made.violations else 'clean'}" in text
    if made.latency_ms is not None:
        assert str(made.unluckiest and made.unluckiest.command_id) in text


def test_columns_are_as_high_as_their_values() -> None:
    chart = Chart(says="s", across="a", up="u", ticks=[Tick(0.5, "one")])
    document = ET.fromstring(columns(chart, [1, 4, 0, 2], ["a", "b", "c", "<d>"]))  # noqa: S314  our own
    rects = list(document.iter("rect"))
    heights = [float(rect.get("height") or 0) for rect in rects]
    assert heights == pytest.approx([heights[1] / 4, heights[1], 0, heights[1] / 2], abs=0.1)
    assert ["".join(title.itertext()) for title in document.iter("title")] == ["a", "b", "c", "<d>"]


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    chart = Chart(says="s", across="a", up="u", ticks=[])
    drawn = lines(chart, [Line("p50", [1.0, 2.0, None, 3.0]), Line("p99", [None] * 4, 2)], unit="ms")
    document = ET.fromstring(drawn)  # noqa: S314  our own
    points = [(each.get("points") or "").split() for each in document.iter("polyline")]
    assert [len(each) for each in points] == [2, 1]


@pytest.mark.parametrize(
    ("count", "interval", "texts"),
    [(10, 1.0, ["0", "2", "4", "6", "8", "10"]), (3, 0.1, ["0", "0.1", "0.2", "0.3"])],
)
def test_a_time_axis_has_round_seconds(count: int, interval: float, texts: list[str]) -> None:
    ticks = seconds_ticks(count, interval)
    assert [tick.text for tick in ticks] == texts
    assert ticks[-1].at == pytest.approx(count)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.00123, "0.00123")])
def test_numbers_have_as_many_digits_as_matter(value: float, text: str) -> None:
    assert brief(value) == text
