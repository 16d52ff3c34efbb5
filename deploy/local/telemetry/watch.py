"""All that watches a stack, started as far as it is there."""

from collections.abc import Mapping
from typing import TypeVar

from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.collector import CollectorServer, collector_program
from deploy.local.telemetry.jaeger import JaegerServer, jaeger_program
from deploy.local.telemetry.prometheus import PrometheusServer, prometheus_program
from deploy.local.telemetry.server import TelemetryServer

__all__ = ["Watch"]

_Server = TypeVar("_Server", bound=TelemetryServer)


class Watch:
    """Jaeger, the collector and Prometheus, each where its program is on the PATH.

    A stack is of use without them: one that does not start is left out, and a note says why.

    Attributes:
        notes: What was left out, each a sentence for a person.

    Args:
        reaper: Runs them.
        copied: Whether the servers' account may be unable to enter the programs' folders.
    """

    def __init__(self, reaper: ReaperClient, *, copied: bool) -> None:
        self.notes: list[str] = []
        self._reaper = reaper
        self._copied = copied
        self._jaeger: JaegerServer | None = None
        self._collector: CollectorServer | None = None
        self._prometheus: PrometheusServer | None = None

    @staticmethod
    def wants_metrics() -> bool:
        """Tell whether there is a Prometheus that would look at the broker."""
        return prometheus_program() is not None

    def start_receivers(self) -> None:
        """Start what traces and metrics are sent to."""
        if (program := jaeger_program()) is not None:
            self._jaeger = self._started(JaegerServer(self._reaper, program, copied=self._copied))
        if (program := collector_program()) is None:
            return
        if self._jaeger is None and prometheus_program() is None:
            self.notes.append(
                "The collector is left out: there is neither a Jaeger nor a Prometheus that it could hand anything to."
            )
            return
        port = None if self._jaeger is None else self._jaeger.otlp_port
        self._collector = self._started(CollectorServer(self._reaper, program, copied=self._copied, jaeger_port=port))

    def start_prometheus(self, addresses: Mapping[str, str]) -> None:
        """Start Prometheus, when all that it looks at serves.

        Args:
            addresses: Where what else it looks at is, by its name in ``deploy/prometheus``.
        """
        if (program := prometheus_program()) is None:
            return
        if self._collector is not None:
            addresses = {
                **addresses,
                "otel-collector:8889": f"{LOOPBACK}:{self._collector.metrics_port}",
                "otel-collector:8888": f"{LOOPBACK}:{self._collector.own_port}",
            }
        self._prometheus = self._started(
            PrometheusServer(self._reaper, program, copied=self._copied, addresses=addresses)
        )

    def variables(self) -> dict[str, str]:
        """Return the environment that has the project's programs be watched, and say where a person looks."""
        found: dict[str, str] = {}
        if self._jaeger is not None:
            found |= self._jaeger.variables()
        if self._collector is not None:
            metrics = "none" if self._prometheus is None else "otlp"
            found |= {**self._collector.variables(), "OTEL_METRICS_EXPORTER": metrics}
        if self._prometheus is not None:
            found["WORKER_METRICS_URL"] = self._prometheus.page_url
        return found

    def _started(self, server: _Server) -> _Server | None:
        try:
            server.start()
        except StackError as error:
            self.notes.append(f"{server.name.capitalize()} is left out, though it is on the PATH. {error}")
            return None
        return server
