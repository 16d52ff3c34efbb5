"""The page is well-formed and self-contained, and shows any texts safely."""

import itertools
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.unit.load.runs import empty, random_summary, summary
from worker.load.chart import CHARACTER, Chart, Column, Line, Mark, Size, columns, lines
from worker.load.page import page
from worker.load.report import report
from worker.load.scale import linear, logarithmic
from worker.load.series import bins
from worker.load.summary import Latency, Summary

RUNS = {
    "clean": summary(),
    "wrong": summary(violations=30),
    "empty": empty(),
    # On a narrow screen, the labels of 50 ms and 100 ms would touch.
    "from 5 ms to 2 s": summary().model_copy(update={"latency_histogram": bins([5.0, 100.0, 1900.0])}),
    **{f"random-{seed}": random_summary(seed) for seed in range(6)},
}
every_run = pytest.mark.parametrize("made", RUNS.values(), ids=RUNS)
SVG = "{http://www.w3.org/2000/svg}"


class Outline(HTMLParser):
    """Checks that every element is closed in order."""

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
def test_it_is_well_formed_and_self_contained(made: Summary) -> None:
    text = page(made, "what <it> stresses")
    outline = read(text)
    assert outline.addresses == []
    assert "script" not in outline.seen
    assert "url(" not in text
    assert "@import" not in text
    assert len(text) < 300_000
    # The markup is also valid XML, so a strict parser accepts it.
    ET.fromstring(text.removeprefix("<!DOCTYPE html>"))  # noqa: S314  our own markup


@every_run
def test_every_chart_has_labelled_axes_and_a_description(made: Summary) -> None:
    charts = charts_of(page(made))
    # Each chart is drawn twice: for wide and for narrow screens.
    assert len(charts) == 2 * ((4 if made.latency_ms is not None else 1) + bool(made.conflicts))
    for chart in charts:
        assert chart.get("role") == "img"
        assert chart.get("aria-label")
        labels = ["".join(text.itertext()) for text in chart.iter("text") if "label" in (text.get("class") or "")]
        assert len(labels) == 2
        assert all(float(rect.get("height") or "x") >= 0 for rect in chart.iter("rect"))


@every_run
def test_texts_do_not_overlap(made: Summary) -> None:
    for chart in charts_of(page(made)):
        see_that_texts_are_apart(chart)


def test_labels_of_close_values_do_not_overlap() -> None:
    """At an edge, in the middle, or all at one point."""
    places = [100, 110, 150, 480, 500]
    for size in (Size(width=600, height=280, ticks=7), Size(width=380, height=280, ticks=4)):
        for three in itertools.combinations_with_replacement(places, 3):
            named = zip(("p50", "p95", "p99"), three, strict=True)
            chart = Chart(
                says="s",
                size=size,
                across="a",
                up="commands",
                x=logarithmic(100, 500, most=size.ticks),
                y=linear(1_000_000, most=5),
                marks=tuple(Mark(value, f"{name} {value:g} ms") for name, value in named),
            )
            see_that_texts_are_apart(ET.fromstring(columns(chart, [])))  # noqa: S314  our own markup


def charts_of(text: str) -> list[ET.Element]:
    return list(ET.fromstring(text.removeprefix("<!DOCTYPE html>")).iter("svg"))  # noqa: S314  our own markup


def see_that_texts_are_apart(chart: ET.Element) -> None:
    """Assert that no text of a chart overlaps another text, a mark's line, or the edge."""
    _, _, width, height = map(float, (chart.get("viewBox") or "").split())
    boxes = [(box_of(text), "".join(text.itertext())) for text in chart.iter("text")]
    for (left, top, right, bottom), text in boxes:
        assert left >= -0.1, text
        assert top >= 0, text
        assert right <= width + 0.1, text
        assert bottom <= height, text
    for (one, text), (other, its_text) in itertools.combinations(boxes, 2):
        # Labels that touch read as one: 50 ms100 ms.
        is_apart = one[2] + 4 <= other[0] or other[2] + 4 <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert is_apart, (text, its_text)
    for line in chart.iter("line"):
        if line.get("class") == "mark":
            x, y1, y2 = (float(line.get(name) or "x") for name in ("x1", "y1", "y2"))
            for (left, top, right, bottom), text in boxes:
                assert not (left < x < right and y1 < bottom and top < y2), text


def box_of(text: ET.Element) -> tuple[float, float, float, float]:
    """The largest box of a text in the page's font."""
    x, y = float(text.get("x") or "x"), float(text.get("y") or "x")
    width = CHARACTER * len("".join(text.itertext()))
    kinds = (text.get("class") or "").split()
    left = x - width if "end" in kinds else x - width / 2 if "middle" in kinds else x
    return left, y - 10, left + width, y + 3


def test_texts_from_messages_are_escaped() -> None:
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
    # The print style is light in both.
    assert "@media screen and (prefers-color-scheme: dark)" in text
    light, dark = (dict(re.findall(r"(--\w+): (#\w{6})", part)) for part in text.split("prefers-color-scheme", 1))
    assert light.keys() == dark.keys()
    for theme in (light, dark):
        for name in ("--text", "--soft", "--good", "--bad", "--warn"):
            assert contrast(theme[name], theme["--panel"]) >= 4.5, name
        for name in ("--one", "--two", "--mark"):
            assert contrast(theme[name], theme["--panel"]) >= 3, name


def contrast(one: str, other: str) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines."""

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


def test_without_conflicts_there_is_no_chart_of_them_and_missing_figures_are_explained() -> None:
    quiet = RUNS["clean"].model_copy(update={"conflicts": 0, "workers": None, "cpu_us_per_command": None})
    shown = read(page(quiet)).text
    assert "Conflicts" in read(page(RUNS["clean"])).text
    assert "Conflicts" not in shown
    at = shown.index("CPU a command")
    assert shown[at + 1 : at + 3] == ["not measured", "only with --start-workers"]


def test_the_page_shows_commands_with_conflicts_and_the_number_of_conflicts() -> None:
    """Two figures: of 100 commands, 8 had one conflict, and 2 had three."""
    shown = read(page(RUNS["clean"])).text
    at = shown.index("Met a conflict")
    assert shown[at + 1 : at + 3] == ["10.0%", "10 commands of 100"]
    at = shown.index("conflicts")
    assert shown[at + 1 : at + 3] == ["14", "8 after reading a replica"]
    drawn = "".join(texts_of(RUNS["clean"]))
    assert "14 conflicts: 10 commands (10.0%) met one or more, decided at most 4 times; 8 after reading" in drawn


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (60.9, None),  # the last command was due after 60 seconds, and answered a moment later
        (78.786, "100 commands a second were due and 76.2 were answered, so the load ended 18.8 s late"),
    ],
)
def test_the_page_says_at_the_top_that_an_open_load_did_not_keep_up(seconds: float, told: str | None) -> None:
    made = RUNS["clean"].model_copy(
        update={
            "load": "open",
            "rate_per_s": 100.0,
            "commands": 6000,
            "seconds": seconds,
            "throughput_per_s": 6000 / seconds,
        }
    )
    text = page(made)
    head = "".join(read(text[: text.index("</header>")] + "</header></body></html>").text)
    assert ("Behind." in head) == (told is not None)
    assert (told or "") in head
    lines_drawn = texts_of(made)
    assert lines_drawn[0].startswith("behind - ") == (told is not None)


def test_durations_are_formatted_for_reading() -> None:
    slow = Latency(p50=1200.0, p95=17_000.0, p99=18_786.0, max=19_000.0)
    shown = "".join(read(page(RUNS["clean"].model_copy(update={"latency_ms": slow}))).text)
    assert "18.8 s" in shown
    assert "18,786" not in shown


def texts_of(made: Summary) -> list[str]:
    console = Console(width=300, color_system=None)
    with console.capture() as drawn:
        for part in report(made):
            console.print(part)
    return drawn.get().splitlines()


def test_columns_are_as_high_as_their_values() -> None:
    drawn = [Column(number, number + 1, value, "<d>") for number, value in enumerate([1, 4, 0, 2])]
    document = ET.fromstring(columns(chart_to(4), drawn))  # noqa: S314  our own markup
    heights = [float(rect.get("height") or 0) for rect in document.iter("rect")]
    assert heights == pytest.approx([heights[1] / 4, heights[1], 0, heights[1] / 2], abs=0.1)
    assert {"".join(title.itertext()) for title in document.iter("title")} == {"<d>"}


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    drawn = lines(
        chart_to(4), [0, 1, 2, 3], [Line("p50", [1.0, 2.0, None, 3.0]), Line("p99", [None] * 4, 2)], unit="ms"
    )
    document = ET.fromstring(drawn)  # noqa: S314  our own markup
    points = [(each.get("points") or "").split() for each in document.iter("polyline")]
    assert [len(each) for each in points] == [2, 1]


def chart_to(highest: float) -> Chart:
    axis = linear(highest, most=5)
    return Chart(says="s", size=Size(width=600, height=280, ticks=7), across="a", up="u", x=axis, y=axis)
