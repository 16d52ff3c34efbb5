"""Rendering: templates in which every value is escaped, and numbers and times in readable form."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from worker import __version__
from worker.printable import printable

__all__ = ["Renderer", "bars"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FEW = 10
_EMPTY = len("[]")


class Renderer:
    """Renders pages from templates.

    Args:
        common: Values for all templates.
    """

    def __init__(self, common: Mapping[str, Any]) -> None:
        self._environment = Environment(
            loader=PackageLoader("worker.console"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update({"version": __version__, **common})
        filters: dict[str, Callable[..., str]] = {
            "count": count,
            "key": key,
            "rate": rate,
            "latency": latency,
            "moment": moment,
            "duration": duration,
        }
        self._environment.filters.update(filters)

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page.

        Args:
            template: The name of the template's file.
            status: The HTTP status of the answer.
            values: Values for the template.
        """
        now = datetime.now(UTC)
        return HTMLResponse(self._environment.get_template(template).render(now=now, **values), status_code=status)


def count(value: int | None) -> str:
    """Format a whole number."""
    return "" if value is None else f"{value:,}"


def key(text: str) -> str:
    """Format the key of a part, a JSON array, for people."""
    return text[1:-1].replace(",", " ") if text.startswith("[") and text.endswith("]") and len(text) > _EMPTY else text


def rate(value: float | None) -> str:
    """Format a rate a second."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= _FEW or not value else f"{value:.1f}"


def latency(seconds: float | None) -> str:
    """Format a short duration in seconds or milliseconds."""
    if seconds is None:
        return ""
    if math.isinf(seconds):
        return "over 60 s"
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{1000 * seconds:,.1f} ms"


def moment(value: datetime | None) -> str:
    """Format a time, in UTC, to the second."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """Format a long duration."""
    if seconds is None:
        return ""
    whole = max(int(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def bars(values: Sequence[float], *, width: float, height: float, most: float) -> list[dict[str, str]]:
    """Return the bars of a chart, from left to right, as attributes of SVG ``rect`` elements; without empty bars.

    Args:
        values: The values of the bars.
        width: The chart's width.
        height: The chart's height.
        most: The value of a bar of full height.
    """
    step = width / max(len(values), 1)
    laid = []
    for place, value in enumerate(values):
        tall = height * min(value / most, 1.0) if most else 0.0
        if tall > 0:
            # Every value above zero is visible.
            tall = max(tall, 1.0)
            laid.append(
                {
                    "x": f"{place * step:.1f}",
                    "y": f"{height - tall:.1f}",
                    "width": f"{max(step - 1, 1):.1f}",
                    "height": f"{tall:.1f}",
                }
            )
    return laid


def _shown(value: Any) -> Any:
    """Replace None by the empty string, and write invisible characters out; the result is then escaped."""
    if value is None:
        return ""
    return printable(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
