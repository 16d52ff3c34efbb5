"""The modules that each call of ``worker`` imports: imports are most of a short command's duration."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.fixtures.ports import free_port
from worker import __version__, cli
from worker.cli.app import COMMANDS
from worker.cli.group import Entry

# Prints the names of all imported modules at the end, as the last line on standard error.
_PROGRAM = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
from dynamic_streams_worker import main
sys.argv = ["worker", *sys.argv[1:]]
main()
"""
_SERVERS = {"asyncio", "aio_pika", "aiormq", "pamqp", "asyncpg", "uvloop", "grpc", "requests"}
_SDK = {"opentelemetry.sdk", "google.protobuf", "psutil"}
_OURS = {"eventstore", "handlers"}
# Each of these takes longer than a probe may; commands that only use the database need none of them.
_COSTLY = {"pydantic", "importlib.metadata", "email", "zoneinfo"}
_ADMINISTRATION = {
    f"eventstore.postgres.administration.{name}" for name in ("migrations", "pruning", "statistics", "survey")
}
_BROKER = {"aio_pika", "aiormq", "pamqp", "yarl"}
_ASKED = _SDK | _COSTLY | _BROKER | {"handlers", "grpc", "rich.console", "eventstore.memory"}
# A port without a listener: the command imports its clients, and fails with an environment error.
_NOWHERE = {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x", "DATABASE_ADMIN_URL": "postgresql://a:b@127.0.0.1:1/x"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    status: int
    output: str
    complaint: str
    modules: frozenset[str]


def call(*arguments: str, **environment: str) -> Done:
    """Run a command in a new Python."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )
    complaint, _, modules = done.stderr.rstrip("\n").rpartition("\n")
    return Done(status=done.returncode, output=done.stdout, complaint=complaint, modules=frozenset(json.loads(modules)))


def test_a_probe_imports_few_modules() -> None:
    done = call("health", "--ready", WORKER_HEALTH_PORT=str(free_port()))
    assert (done.status, done.complaint) == (1, "")
    assert done.output.startswith("no worker answers on 127.0.0.1, port ")
    assert {name for name in done.modules if name.partition(".")[0] in {"worker", *_OURS}} == {
        "worker",
        "worker.cli",
        "worker.cli.main",
        "worker.cli.probe",
        "worker.supervision",
        "worker.supervision.probe",
    }
    others = {"typer", "rich", "pydantic", "msgspec", "dataclasses", "inspect", "logging", "http", "email", "ssl"}
    assert done.modules & (others | _SERVERS | _SDK) == set()


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "without"),
    [
        (("--help",), {}, 0, _SERVERS | _SDK | _OURS | {"rich", "pydantic", "opentelemetry"}),
        (("--version",), {}, 0, _SERVERS | _SDK | _OURS | {"rich", "pydantic", "opentelemetry"}),
        (("db", "--help"), {}, 0, _SERVERS | _SDK | _OURS | {"rich", "opentelemetry"}),
        (("hlep",), {}, 2, _SERVERS | _SDK | _OURS | {"rich", "opentelemetry"}),
        (("config", "--json"), {}, 0, _SERVERS | _SDK | _OURS | _COSTLY | {"opentelemetry", "rich"}),
        (("config",), {"WORKER_CONCURRENCY": "many"}, 2, _SERVERS | _SDK | _OURS | _COSTLY | {"opentelemetry"}),
        (("health",), {}, 2, _SERVERS | _SDK | _OURS | _COSTLY | {"opentelemetry", "rich"}),
        (("status", "no-id"), {}, 2, _ASKED | _ADMINISTRATION),
        (("status", str(uuid4())), _NOWHERE, 2, _ASKED | _ADMINISTRATION),
        (("events", "--limit", "3", "--type", "A"), _NOWHERE, 2, _ASKED | _ADMINISTRATION),
        (("db", "stats"), _NOWHERE, 2, _ASKED),
        (("db", "check"), _NOWHERE, 2, _SDK | _COSTLY | _BROKER | {"grpc"}),
        (("db", "migrate"), _NOWHERE, 2, _ASKED),
        (("db", "states", "list"), _NOWHERE, 2, _ASKED),
        (("db", "prune", "--older-than", "90d", "--yes"), _NOWHERE, 2, _ASKED),
        # The web server is imported when the page is served.
        (("console",), {}, 2, _SERVERS - {"uvloop", "asyncio"} | _SDK | _OURS | {"starlette", "uvicorn", "jinja2"}),
        # Domains need pydantic; progress bars and tables are imported only for a terminal.
        (("dead-letters", "list"), {}, 2, _SDK | {"asyncpg", "eventstore.postgres", "grpc", "rich"}),
        (("view",), {"WORKER_DOMAINS": "handlers.library:domain"}, 0, _SDK | _BROKER | {"grpc"}),
        (("publish", "A", "{}"), {}, 2, _SDK | {"asyncpg", "eventstore.postgres", "grpc", "worker.rounds", "rich"}),
        (
            (),
            {"_WORKER_COMPLETE": "complete_bash", "COMP_WORDS": "worker d", "COMP_CWORD": "1"},
            0,
            _SERVERS | _SDK | _OURS,
        ),
    ],
)
def test_a_command_imports_only_what_it_uses(
    arguments: Sequence[str], environment: Mapping[str, str], status: int, without: set[str]
) -> None:
    done = call(*arguments, **environment)
    assert done.status == status, done
    assert done.modules & without == set()
    assert "Traceback" not in done.complaint


@pytest.mark.parametrize("module", ["importlib.util", "pathlib", "worker", "worker.cli.main", "worker.cli.app"])
def test_an_interrupt_is_no_bug_whatever_is_being_imported(module: str) -> None:
    program = f"""
import signal, sys
class Interrupting:
    def find_spec(name, *_):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Interrupting)
from dynamic_streams_worker import main
sys.argv = ["worker", "config"]
main()
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], check=False, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_brokers_library_is_imported_before_the_loop_runs() -> None:
    """``run_async`` installs the lenient codec only if the library is imported by then."""
    late = [
        f"{path.name}:{node.lineno}"
        for path in Path(cli.__file__).parent.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith(
            ("worker.amqp", "worker.publisher", "worker.process", "worker.service", "worker.dead_letters")
        )
        and path.name != "loop.py"
    ]
    assert late == []


def test_the_version_is_the_packages() -> None:
    assert call("--version").output == f"worker {__version__}\n"
    assert version("dynamic-streams-worker") == __version__


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (("worker", "d"), {"dead-letters", "db"}),
        (("worker", "db", "st"), {"stats", "states"}),
        (("worker", "publish", "--w"), {"--wait"}),
        (("worker", "db", "states", "drop", "--a"), {"--all"}),
    ],
)
def test_the_shell_completes_commands_and_their_options(typed: Sequence[str], found: set[str]) -> None:
    done = call(_WORKER_COMPLETE="complete_bash", COMP_WORDS=" ".join(typed), COMP_CWORD=str(len(typed) - 1))
    assert set(done.output.split()) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_a_shell(shell: str) -> None:
    shown = call("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.status == 0
    assert "_WORKER_COMPLETE" in shown.output


@pytest.mark.parametrize("entry", [entry for entries in COMMANDS.values() for entry in entries], ids=lambda e: e.target)
def test_the_list_shows_the_first_sentence_of_a_commands_help(entry: Entry) -> None:
    told = entry.load().help
    assert told is not None
    assert entry.help == told.split("\n\n")[0]
