"""Prometheus, with the configuration and the rules of ``deploy/prometheus``, and addresses of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.server import TelemetryServer, program

__all__ = ["PrometheusServer", "prometheus_program", "with_targets"]

_FOLDER = Path(__file__).resolve().parents[2] / "prometheus"
_CONFIGURATION, _RULES = "prometheus.yml", ("recording.yml", "alerts.yml")
_OWN = "localhost:9090"
# With the comment above it; what stands before the first is not about a job.
_JOB = re.compile(r"(?:^ +#.*\n)*^  - job_name:.*\n(?:(?:    .*)?\n)*", re.MULTILINE)
_TARGETS = re.compile(r"- targets: \[([^\]]+)\]")


def prometheus_program() -> Path | None:
    """Return the program on the PATH, or None."""
    return program("prometheus")


def with_targets(configuration: str, addresses: Mapping[str, str]) -> str:
    """Return a configuration with other addresses; jobs that have none are left out.

    Args:
        configuration: The text of a configuration that gives each job one target.
        addresses: By the target's name in it, the address to scrape instead.
    """

    def moved(job: re.Match[str]) -> str:
        target = _TARGETS.search(job[0])
        if target is None or target[1] not in addresses:
            return ""
        return _TARGETS.sub(f"- targets: [{addresses[target[1]]}]", job[0])

    return _JOB.sub(moved, configuration)


class PrometheusServer(TelemetryServer):
    """A Prometheus that forgets what it has seen when it ends.

    Attributes:
        port: Its page's.

    Args:
        reaper: Runs it.
        program: Version 2 or 3.
        copied: Whether the servers' account may be unable to enter the program's folder.
        addresses: What it scrapes, by the name that ``deploy/prometheus`` has for it; the rest of that is left out.
    """

    port: int

    def __init__(self, reaper: ReaperClient, program: Path, *, copied: bool, addresses: Mapping[str, str]) -> None:
        super().__init__(reaper, "prometheus", program, copied=copied)
        self._addresses = addresses

    @property
    def page_url(self) -> str:
        """The address of its page and of its query API."""
        return f"http://{LOOPBACK}:{self.port}"

    def _choose_ports(self) -> None:
        self.port = free_port()

    def _ports(self) -> tuple[int, ...]:
        return (self.port,)

    def _launch(self) -> int:
        folder = self._reaper.folder / self.name
        self._reaper.run(["mkdir", "-p", str(folder)], log=self.log)
        addresses = {**self._addresses, _OWN: f"{LOOPBACK}:{self.port}"}
        text = (_FOLDER / _CONFIGURATION).read_text(encoding="utf-8")
        self._reaper.write(folder / _CONFIGURATION, with_targets(text, addresses))
        for name in _RULES:
            self._reaper.write(folder / name, (_FOLDER / name).read_text(encoding="utf-8"))
        options = {
            "config.file": folder / _CONFIGURATION,
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"{LOOPBACK}:{self.port}",
        }
        return self._reaper.start(
            [str(self._program), *(f"--{name}={value}" for name, value in options.items())], log=self.log
        )

    def _pages(self) -> tuple[str, ...]:
        return (f"{self.page_url}/-/ready",)
