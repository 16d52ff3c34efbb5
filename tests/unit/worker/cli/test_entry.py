"""The program's first steps: they end without a traceback, whatever comes between them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fork_server import kept

# Ctrl-C comes while Python looks for the first package.
_INTERRUPTED = """
import importlib.util
import dynamic_streams_worker

def find_spec(name):
    raise KeyboardInterrupt

importlib.util.find_spec = find_spec
dynamic_streams_worker.main()
"""
_IMPORTED = """
import importlib.util
import sys

before = set(sys.modules)
import dynamic_streams_worker
print(*sorted(set(sys.modules) - before))
"""
# Another shell deletes the folder of this one.
_FOLDER_GONE = """
import os, sys, tempfile

with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
from dynamic_streams_worker import main
sys.argv = ["worker", *sys.argv[1:]]
main()
"""


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new Python, in the root of this repository."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**kept(), "WORKER_DOMAINS": "handlers.library:domain", "AMQP_URL": "amqp://a:b@127.0.0.1:9/x"},
        cwd=Path(__file__).parents[4],
    )


def test_ctrl_c_before_a_command_has_begun_leaves_no_traceback() -> None:
    done = python(_INTERRUPTED)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_nothing_slow_is_imported_where_ctrl_c_cannot_be_caught() -> None:
    done = python(_IMPORTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "dynamic_streams_worker\n", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("view", "book-copy", "b1"), "worker: DATABASE_URL is not set; "),
        (("dead-letters", "list"), "worker: RabbitMQ at 127.0.0.1:9 is out of reach: "),
        (("new", "shop_of_mine"), "worker: shop_of_mine cannot be made here: No such file or directory.\n"),
    ],
)
def test_a_working_folder_that_was_deleted_is_no_bug(arguments: tuple[str, ...], told: str) -> None:
    done = python(_FOLDER_GONE, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
