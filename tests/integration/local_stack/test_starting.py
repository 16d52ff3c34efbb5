"""Where and as whom a stack can be started, and what becomes of a port that is taken."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import postgres
from deploy.local.binaries import postgres_folder
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK, free_port, is_free
from deploy.local.stack import LocalStack
from tests.support.processes import left_below

_CLONE = Path(__file__).parents[3]
_TRY = """
from deploy.local.stack import LocalStack
with LocalStack(broker={broker}) as stack:
    print(stack.replicas[0].query("SELECT pg_is_in_recovery()"), stack.folder.owner())
"""


def _private_clone(place: Path) -> Path:
    """Copy what the stack needs into a folder that only its owner may enter."""
    clone = place / "clone"
    shutil.copytree(_CLONE / "deploy", clone / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    wheel = postgres_folder().parent
    shutil.copytree(wheel, clone / wheel.name)
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), clone / f"{wheel.name}.libs")
    for path in (clone, *clone.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    return clone


def _start(clone: Path, *, python: str, user: int | None = None, broker: bool = True) -> str:
    done = subprocess.run(
        [python, "-B", "-c", _TRY.format(broker=broker)],
        cwd=clone,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        umask=0o077,
        env={"PATH": os.defpath, "PYTHONPATH": str(clone), "TMPDIR": os.environ["TMPDIR"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_private_clone_will_do(base: Path, tmp_path: Path) -> None:
    servers = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # The broker's programs are the system's, wherever the clone is.
    assert _start(_private_clone(tmp_path), python=sys.executable, broker=False) == f"t {servers}"
    assert left_below(base) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the test before this one has tried an ordinary user: this one")
def test_an_ordinary_user_with_a_private_clone_will_do(base: Path) -> None:
    user = pwd.getpwnam("daemon")
    home = base.with_name(f"{base.name}-home")
    home.mkdir(mode=0o700)
    try:
        clone = _private_clone(home)
        for path in (home, clone, *clone.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_uid)
        assert _start(clone, python=_python_for(user.pw_uid), user=user.pw_uid) == "t daemon"
    finally:
        shutil.rmtree(home)
    assert left_below(base) == []


def _python_for(user: int) -> str:
    """Return an interpreter that an ordinary user may run: ours, if it does not lie in root's own folders."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-c", "import sys; assert sys.version_info >= (3, 11)"], user=user, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise AssertionError("there is no Python 3.11 or newer that an ordinary user may run: install python3")


@contextmanager
def _taken(port: int) -> Iterator[int]:
    with socket.create_server((LOOPBACK, port)):
        yield port


def test_a_port_that_is_taken_meanwhile_is_replaced(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _taken(free_port()) as taken:
        ports = [taken]
        monkeypatch.setattr(postgres, "free_port", lambda: ports.pop() if ports else free_port())
        with LocalStack(replicas=0, broker=False) as stack:
            assert stack.primary.port != taken
            assert stack.primary.query("SELECT 1") == "1"
    assert left_below(base) == []


def test_a_server_that_is_known_keeps_its_port_or_fails(base: Path) -> None:
    with LocalStack(replicas=0, broker=False) as stack:
        port = stack.primary.port
        stack.primary.stop()
        with _taken(port), pytest.raises(StackError, match=r"primary did not start: .*FATAL"):
            stack.primary.start()
        stack.primary.start()
        assert stack.primary.port == port
    assert left_below(base) == []


def test_a_free_port_is_free_and_handed_out_once() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
    assert all(map(is_free, ports))
    with _taken(ports[0]):
        assert not is_free(ports[0])
