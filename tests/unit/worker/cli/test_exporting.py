"""The export of traces and metrics of a short command, which configures no logs."""

import os
import subprocess
import sys

_PROGRAM = """
import logging
from worker.cli.exporting import exporting

with exporting():
    for cause in ("refused", "reset"):
        for name in ("opentelemetry.exporter.otlp", "worker.telemetry.span_exporter", "worker.publisher"):
            logging.getLogger(name).warning("%s: not sent: %s", name, cause)
"""


def test_each_problem_of_the_collector_is_told_once() -> None:
    variables = {"PATH": os.environ["PATH"], "OTEL_SDK_DISABLED": "true"}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=variables, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        "opentelemetry.exporter.otlp: not sent: refused",
        "worker.telemetry.span_exporter: not sent: refused",
        "worker.publisher: not sent: refused",
        "worker.publisher: not sent: reset",
    ]
