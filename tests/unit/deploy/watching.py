"""The monitoring files, and every series that they may use."""

import json
from pathlib import Path
from typing import Any

from tests.support.composition import ROOT
from tests.support.yaml_documents import document
from tests.unit.deploy.instruments import exported_series

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

# Series of other programs, as documented, as far as they are used. Every scraped series has an instance and a job.
_TARGET = frozenset({"job", "instance"})
_QUEUE = _TARGET | {"vhost", "queue"}
_OTHERS = {
    "up": _TARGET,
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    # https://www.rabbitmq.com/docs/prometheus#detailed-endpoint
    "rabbitmq_detailed_queue_messages": _QUEUE,
    "rabbitmq_detailed_queue_messages_ready": _QUEUE,
    "rabbitmq_detailed_queue_consumers": _QUEUE,
    # https://opentelemetry.io/docs/collector/internal-telemetry/
    "otelcol_receiver_refused_spans_total": _TARGET | {"receiver"},
    "otelcol_exporter_enqueue_failed_spans_total": _TARGET | {"exporter"},
    "otelcol_exporter_send_failed_spans_total": _TARGET | {"exporter"},
}


def yaml_of(path: Path | str) -> dict[str, Any]:
    """A YAML file of ``deploy``."""
    loaded: dict[str, Any] = document((DEPLOY / path).read_text(encoding="utf-8"))
    return loaded


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard."""
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of a file of Prometheus."""
    return [rule for group in yaml_of(f"prometheus/{name}.yml")["groups"] for rule in group["rules"]]


def recorded() -> dict[str, frozenset[str]]:
    """The recorded series; by convention, a name begins with its labels."""
    return {rule["record"]: frozenset(rule["record"].split(":")[0].split("_")) for rule in rules("recording")}


def series() -> dict[str, frozenset[str]]:
    """Every series that a dashboard or an alert may use, with its labels."""
    return {**_OTHERS, **recorded(), **exported_series()}
