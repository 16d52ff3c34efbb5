"""The OpenTelemetry collector, with the configuration of ``deploy/otel`` and addresses of this machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.server import TelemetryServer, program

__all__ = ["CollectorServer", "collector_program", "on_this_machine"]

_NAMES = ("otelcol-contrib", "otelcol")
_CONFIGURATION = Path(__file__).resolve().parents[2] / "otel" / "collector.yaml"
# As often as Prometheus looks.
_INTERVAL_MILLISECONDS = 15_000


def collector_program() -> Path | None:
    """Return the program on the PATH, or None."""
    return program(*_NAMES)


def on_this_machine(ports: Mapping[str, int], *, jaeger: int | None) -> dict[str, Any]:
    """Return what takes the place of the addresses in the configuration of ``deploy/otel``.

    Args:
        ports: Of OTLP over gRPC (``grpc``) and ``http``, of the ``metrics`` that came in, of its ``own``, and of its
            ``health``.
        jaeger: Jaeger's port for OTLP over gRPC; None where there is none, and traces are dropped.
    """
    places = {name: {"endpoint": f"{LOOPBACK}:{port}"} for name, port in ports.items()}
    own = {"host": LOOPBACK, "port": ports["own"], "without_type_suffix": False}
    replaced: dict[str, Any] = {
        "receivers": {"otlp": {"protocols": {"grpc": places["grpc"], "http": places["http"]}}},
        "exporters": {"prometheus": places["metrics"], "otlp_grpc/jaeger": {"endpoint": f"{LOOPBACK}:{jaeger}"}},
        "extensions": {"health_check": places["health"]},
        "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": own}}}]}}},
    }
    if jaeger is None:
        replaced["exporters"] = {"prometheus": places["metrics"], "nop": {}}
        replaced["service"]["pipelines"] = {"traces": {"exporters": ["nop"]}}
    return replaced


class CollectorServer(TelemetryServer):
    """A collector: traces go on to Jaeger, metrics are kept for Prometheus to scrape.

    Attributes:
        otlp_port: Where traces and metrics are sent by OTLP over gRPC.
        metrics_port: Where Prometheus finds the metrics of those who sent them.
        own_port: Where it finds those of the collector itself.

    Args:
        reaper: Runs it.
        program: Version 0.144 or newer of the distribution ``otelcol`` or ``otelcol-contrib``.
        copied: Whether the servers' account may be unable to enter the program's folder.
        jaeger_port: Where Jaeger takes traces by OTLP over gRPC; None where there is none, and traces are dropped.
    """

    otlp_port: int
    metrics_port: int
    own_port: int

    def __init__(self, reaper: ReaperClient, program: Path, *, copied: bool, jaeger_port: int | None) -> None:
        super().__init__(reaper, "collector", program, copied=copied)
        self._jaeger_port = jaeger_port

    def variables(self) -> dict[str, str]:
        """Return the environment that has the project's programs send traces and metrics here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{self.otlp_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_TRACES_EXPORTER": "none" if self._jaeger_port is None else "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": str(_INTERVAL_MILLISECONDS),
        }

    def _choose_ports(self) -> None:
        self.otlp_port, self.metrics_port, self.own_port = free_port(), free_port(), free_port()
        self._http_port, self._health_port = free_port(), free_port()

    def _ports(self) -> tuple[int, ...]:
        return (self.otlp_port, self.metrics_port, self.own_port, self._http_port, self._health_port)

    def _launch(self) -> int:
        folder = self._reaper.folder
        # Its account may not be able to enter the clone.
        self._reaper.write(folder / "collector.yaml", _CONFIGURATION.read_text(encoding="utf-8"))
        self._reaper.write(folder / "collector-local.yaml", self._addresses())
        # The later file wins, mapping by mapping.
        files = ("collector.yaml", "collector-local.yaml")
        return self._reaper.start([str(self._program), *(f"--config={folder / file}" for file in files)], log=self.log)

    def _addresses(self) -> str:
        ports = {
            "grpc": self.otlp_port,
            "http": self._http_port,
            "metrics": self.metrics_port,
            "own": self.own_port,
            "health": self._health_port,
        }
        # What is JSON is YAML as well.
        return json.dumps(on_this_machine(ports, jaeger=self._jaeger_port), indent=1)

    def _pages(self) -> tuple[str, ...]:
        return (f"http://{LOOPBACK}:{self._health_port}/", f"http://{LOOPBACK}:{self.own_port}/metrics")

    def _listening(self) -> tuple[int, ...]:
        return (self.otlp_port, self.metrics_port)
