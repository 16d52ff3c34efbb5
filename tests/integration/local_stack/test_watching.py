"""Starting and stopping what watches with the stack of ``make up``. Stand-ins have the names of Jaeger.

What real Jaeger takes, only ``tests/e2e/test_jaeger.py`` can tell; what real Prometheus does, ``make release-check``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.server import until
from deploy.local.stack import LocalStack
from deploy.local.stack_folder import StackFolder
from tests.support.processes import left_below

_CLONE = Path(__file__).parents[3]
# It answers the query API's list of services, and listens where OTLP is taken; by file or variables, as its version.
_STAND_IN = """\
#!/usr/bin/python3
import http.server, os, re, socket, sys
if sys.argv[1:] == ["version"]:
    sys.exit(print("{version}"))
if "{version}".startswith("v2"):
    assert sys.argv[1] == "--config", sys.argv
    text = open(sys.argv[2]).read()
    page = re.search(r'http: \\{{endpoint: "127.0.0.1:(\\d+)"', text)[1]
    otlp = re.search(r'protocols:\\s+grpc: \\{{endpoint: "127.0.0.1:(\\d+)"', text)[1]
else:
    assert sys.argv[1:] == [], sys.argv
    page = os.environ["QUERY_HTTP_SERVER_HOST_PORT"].rpartition(":")[2]
    otlp = os.environ["COLLECTOR_OTLP_GRPC_HOST_PORT"].rpartition(":")[2]
listening = socket.create_server(("127.0.0.1", int(otlp)))
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/services" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(page)), Page).serve_forever()
"""


def _path_with(folder: Path, name: str, version: str) -> str:
    """Make a stand-in, and return a PATH on which it is found."""
    program = folder / "bin" / name
    program.parent.mkdir()
    program.write_text(_STAND_IN.format(version=version))
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_a_stand_in_named_as_version_1_is_started_told_and_gone_with_the_stack(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", _path_with(tmp_path, "jaeger-all-in-one", "v1.76.0"))
    with LocalStack(replicas=0, broker=False, watched=True) as stack:
        addresses = stack.environment()
    assert addresses["WORKER_TRACE_URL"].endswith("/trace/{trace_id}")
    assert addresses["OTEL_METRICS_EXPORTER"] == "none"
    assert left_below(base) == []


def test_a_stand_in_named_jaeger_is_started_told_and_gone_with_the_stack(tmp_path: Path, base: Path) -> None:
    environment = os.environ | {"PATH": _path_with(tmp_path, "jaeger", "v2.20.0")}
    folder = StackFolder(tmp_path / "stack")

    def run(command: str) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, "-m", "deploy.local", "--folder", str(folder.path), command]
        return subprocess.run(arguments, cwd=_CLONE, env=environment, capture_output=True, text=True, check=False)

    try:
        up = run("up")
        assert up.returncode == 0, up.stderr
        # The primary and the replica, as administrator too, RabbitMQ and its management, and Jaeger twice; and whatever
        # else this machine has on its PATH.
        servers = [line for line in up.stdout.splitlines() if line.startswith("│")]
        assert len(servers) >= 7
        assert all("answers" in line for line in servers), up.stdout
        assert "Jaeger, to look at traces" in up.stdout
        addresses = folder.addresses()
        assert addresses["WORKER_TRACE_URL"].endswith("/trace/{trace_id}")
        sourced = subprocess.run(
            ["bash", "-c", f"source '{folder.variables}' && printenv WORKER_TRACE_URL OTEL_METRICS_EXPORTER"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        assert sourced.stdout.splitlines() == [addresses["WORKER_TRACE_URL"], "none"]
    finally:
        down = run("down")
    assert down.returncode == 0, down.stderr
    until(lambda: not left_below(base), 60, "all to be gone")


def test_what_does_not_start_is_left_out_and_told(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("otelcol", "prometheus"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'error: this machine is too old' >&2\nexit 3\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with LocalStack(replicas=0, broker=False, watched=True) as stack:
        addresses, notes = stack.environment(), stack.notes
    assert not [name for name in addresses if name.startswith(("OTEL", "WORKER"))]
    assert notes == tuple(
        f"{name.capitalize()} is left out, though it is on the PATH. "
        f"The server {name} did not start: error: this machine is too old"
        for name in ("collector", "prometheus")
    )
    assert left_below(base) == []
