"""Jaeger, where a program of that name is on the PATH: version 2, or version 1's all-in-one."""

import re
import subprocess
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.server import TelemetryServer, program

__all__ = ["JaegerServer", "jaeger_program"]

_NAMES = ("jaeger", "jaeger-all-in-one")
_VERSION_SECONDS = 10.0
_FIRST = re.compile(r"\bv?1\.\d+\.\d+")
# Version 2 is configured by a file alone.
_CONFIGURATION = """\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry:
    metrics: {{level: none}}
extensions:
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: 100000}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "{host}:{page}"}}
    grpc: {{endpoint: "{host}:{query}"}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "{host}:{otlp}"}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""


def jaeger_program() -> Path | None:
    """Return the program on the PATH, or None."""
    return program(*_NAMES)


class JaegerServer(TelemetryServer):
    """A Jaeger that keeps traces in memory.

    Attributes:
        page_port: Where a person, and the query API, look at traces.
        otlp_port: Where traces are sent by OTLP over gRPC.

    Args:
        reaper: Runs it.
        program: Version 2, or version 1's all-in-one.
        copied: Whether the servers' account may be unable to enter the program's folder.
    """

    page_port: int
    otlp_port: int

    def __init__(self, reaper: ReaperClient, program: Path, *, copied: bool) -> None:
        super().__init__(reaper, "jaeger", program, copied=copied)
        self._is_first = _is_first(program)

    @property
    def page_url(self) -> str:
        """The address of its pages and of the query API."""
        return f"http://{LOOPBACK}:{self.page_port}"

    @property
    def trace_url(self) -> str:
        """Where a person opens a trace, with ``{trace_id}``."""
        return f"{self.page_url}/trace/{{trace_id}}"

    def variables(self) -> dict[str, str]:
        """Return the environment that has the project's programs send traces here, and say where to look at them."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{self.otlp_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            # Jaeger takes traces only.
            "OTEL_METRICS_EXPORTER": "none",
            "WORKER_TRACE_URL": self.trace_url,
        }

    def _choose_ports(self) -> None:
        self.page_port, self.otlp_port, self._query_port = free_port(), free_port(), free_port()
        # Of version 1, which opens them whether they are wanted or not.
        self._others = {
            name: free_port()
            for name in (
                "ADMIN_HTTP_HOST_PORT",
                "COLLECTOR_GRPC_SERVER_HOST_PORT",
                "COLLECTOR_HTTP_SERVER_HOST_PORT",
                "COLLECTOR_OTLP_HTTP_HOST_PORT",
                "HTTP_SERVER_HOST_PORT",
            )
        }

    def _ports(self) -> tuple[int, ...]:
        return (self.page_port, self.otlp_port, self._query_port, *self._others.values())

    def _launch(self) -> int:
        if self._is_first:
            # As variables: one that a release does not know is passed over, a flag is not.
            ports = {
                **self._others,
                "COLLECTOR_OTLP_GRPC_HOST_PORT": self.otlp_port,
                "QUERY_HTTP_SERVER_HOST_PORT": self.page_port,
                "QUERY_GRPC_SERVER_HOST_PORT": self._query_port,
            }
            environment = {name: f"{LOOPBACK}:{port}" for name, port in ports.items()}
            environment |= {"COLLECTOR_OTLP_ENABLED": "true", "SPAN_STORAGE_TYPE": "memory"}
            return self._reaper.start([str(self._program)], env=environment, log=self.log)
        file = self._reaper.folder / "jaeger.yaml"
        ports = {"page": self.page_port, "query": self._query_port, "otlp": self.otlp_port}
        self._reaper.write(file, _CONFIGURATION.format(host=LOOPBACK, **ports))
        return self._reaper.start([str(self._program), "--config", str(file)], log=self.log)

    def _pages(self) -> tuple[str, ...]:
        return (f"{self.page_url}/api/services",)

    def _listening(self) -> tuple[int, ...]:
        return (self.otlp_port,)


def _is_first(program: Path) -> bool:
    """Tell version 1, which takes variables, from version 2, which takes a file."""
    try:
        told = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "all-in-one" in program.name
    return _FIRST.search(told.stdout + told.stderr) is not None
