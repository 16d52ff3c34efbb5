"""The instruments of our code, and their names in Prometheus behind the collector.

The instruments are read from the source, their attributes from docs/telemetry.md. Names are rendered by the documented
rules of the collector's exporter for Prometheus with ``translation_strategy: UnderscoreEscapingWithSuffixes``. Source:
https://pkg.go.dev/github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from opentelemetry.semconv._incubating.metrics.otel_metrics import OTEL_SDK_PROCESSOR_SPAN_PROCESSED

from tests.support.composition import ROOT

PREFIXES = ("worker_", "eventstore_", "messaging_", "otel_")
"""How names begin that only our code exports."""

# From service.name and service.instance.id of the process.
PROCESS = frozenset({"job", "instance"})

_UNITS = {"s": "seconds", "By": "bytes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """An instrument.

    Attributes:
        kind: counter, up_down_counter, gauge or histogram, as in the API's method that creates it.
    """

    name: str
    kind: str
    unit: str
    attributes: frozenset[str] = frozenset()

    def series(self) -> dict[str, frozenset[str]]:
        """Its names in Prometheus, each with its labels."""
        name = re.sub(r"[^a-zA-Z0-9]+", "_", self.name).strip("_")
        labels = PROCESS | {attribute.replace(".", "_") for attribute in self.attributes}
        if (suffix := self._suffix()) and not name.endswith(f"_{suffix}"):
            name = f"{name}_{suffix}"
        match self.kind:
            case "counter":
                return {f"{name.removesuffix('_total')}_total": labels}
            case "histogram":
                return {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            case _:
                return {name: labels}

    def _suffix(self) -> str:
        if self.unit == "1":
            return "ratio" if self.kind == "gauge" else ""
        # A unit in braces is an annotation, and not part of the name.
        return _UNITS[self.unit] if not self.unit.startswith("{") else ""


@cache
def exported() -> dict[str, Instrument]:
    """Every instrument that our code creates, and of those with the SDK's names the one that counts spans."""
    attributes = _documented_attributes()
    made = [*_made(attributes), _spans()]
    return {instrument.name: instrument for instrument in made}


@cache
def exported_series() -> dict[str, frozenset[str]]:
    """Every series in Prometheus from our code, with its labels."""
    return {name: labels for instrument in exported().values() for name, labels in instrument.series().items()}


def _made(attributes: dict[str, frozenset[str]]) -> Iterator[Instrument]:
    for package in ("eventstore", "worker"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id="meter" | "_meter"), attr=method),
                        args=[ast.Constant(value=str(name)), *_],
                    ) if not name.startswith("otel."):
                        kind = method.removeprefix("create_").removeprefix("observable_")
                        (unit,) = (word.value for word in node.keywords if word.arg == "unit")
                        assert isinstance(unit, ast.Constant)
                        yield Instrument(name=name, kind=kind, unit=str(unit.value), attributes=attributes[name])


def _spans() -> Instrument:
    return Instrument(
        name=OTEL_SDK_PROCESSOR_SPAN_PROCESSED, kind="counter", unit="{span}", attributes=frozenset({"error.type"})
    )


def _documented_attributes() -> dict[str, frozenset[str]]:
    text = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8").split("| name | unit |")[1]
    rows = re.findall(r"^\| `([\w.]+)` \| \S+ \| ([^|]+) \|", text, re.MULTILINE)
    return {name: frozenset(re.findall(r"`([\w.]+)`", cell)) for name, cell in rows}
