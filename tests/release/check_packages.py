"""The first steps of an ordinary user with nothing installed: RabbitMQ, Erlang and PostgreSQL are fetched and started.

The machine's package sources are used, so this needs the network. Installed servers are hidden from the process: it
sees empty folders of RabbitMQ, Erlang and PostgreSQL. Monitoring is tried as well, with a Prometheus that is fetched in
the same way.
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.binaries import postgres_folder
from deploy.local.packages.recipe import ERLANG
from tests.support.processes import left_below

ROOT = Path(__file__).parents[2]
_HIDDEN = (f"/{ERLANG}", "/usr/lib/rabbitmq", "/usr/lib/postgresql")
_USER = "daemon"
# Run by the system's Python, in a copy of the clone with the local stack only.
_STEPS = """
import json, os, subprocess, urllib.request
from base64 import b64encode
from deploy.local.binaries import system_postgres_folder
from deploy.local.packages.recipe import Recipe
from deploy.local.packages.unpacked import Unpacked
from deploy.local.server import until
from deploy.local.stack import LocalStack

def ask(url, login=None):
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return json.load(response)

def up():
    found = ask(f"{metrics}/api/v1/query?query=up")["data"]["result"]
    jobs = {each["metric"]["job"]: each["value"][1] for each in found}
    # Each is looked at within its first quarter of a minute.
    return jobs if [jobs.get(name) for name in ("rabbitmq", "rabbitmq-queues", "prometheus")] == ["1"] * 3 else None

postgres = system_postgres_folder() / "bin"
said = [subprocess.run([postgres / name, "--version"], capture_output=True, text=True, check=True).stdout
        for name in ("postgres", "psql")]
prometheus = Recipe(
    name="Prometheus", package="prometheus", family=("prometheus",), least=(2,), programs=("usr/bin/prometheus",)
)
os.environ["PATH"] = f"{Unpacked().programs(prometheus)}:{os.defpath}"
with LocalStack(watched=True) as stack:
    broker = stack.broker
    management, login = f"http://127.0.0.1:{broker.management_port}/api", f"{broker.login.user}:{broker.login.password}"
    version = ask(f"{management}/overview", login)["rabbitmq_version"]
    broker.control("add_user", "somebody", "of-this-test")
    users = sorted(user["name"] for user in ask(f"{management}/users", login))
    program = os.readlink(f"/proc/{broker.pid}/exe")
    broker.kill()
    broker.start()
    metrics = stack.environment()["WORKER_METRICS_URL"]
    jobs = until(up, 60, "Prometheus to see the broker")
    print(json.dumps({
        "version": version, "users": users, "program": program, "postgres": said, "jobs": sorted(jobs),
        "notes": stack.notes, "replica": stack.replicas[0].query("SELECT pg_is_in_recovery()"),
    }))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """An ordinary user's folder, with a clone that only this user may enter."""
    uid = pwd.getpwnam(_USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    home = Path(tempfile.mkdtemp(prefix="first-steps-", dir="/var/tmp"))
    clone = home / "clone"
    shutil.copytree(ROOT / "deploy", clone / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    wheel = postgres_folder().parent
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(folder, clone / folder.name)
    (home / "tmp").mkdir()
    for path in (home, *home.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
        os.chown(path, uid, -1)
    yield home
    shutil.rmtree(home)


def _as_ordinary_user(command: list[str]) -> list[str]:
    """Return a command line that runs a command as an ordinary user, with the installed servers hidden."""
    if os.geteuid() != 0:
        if installed := [place for place in _HIDDEN if Path(place).exists()]:
            pytest.skip(f"{installed[0]} is installed, and only root can hide it")
        return command
    hide = "; ".join(f"if test -e {place}; then mount -t tmpfs none {place} || exit 77; fi" for place in _HIDDEN)
    drop = f"exec setpriv --reuid={_USER} --regid={_USER} --clear-groups --inh-caps=-all"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{hide}; {drop} "$@"', "sh", *command]


def check_missing_servers_are_fetched_and_run_as_an_ordinary_user(home: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("apt is not installed")
    clone = home / "clone"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(clone), "HOME": str(home), "TMPDIR": str(home / "tmp")}
    done = subprocess.run(
        _as_ordinary_user(["/usr/bin/python3", "-B", "-c", _STEPS]),
        cwd=clone,
        env=environment,
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)  # noqa: T201  the fetched packages explain a failure
    if done.returncode == 77:
        pytest.skip(f"installed programs cannot be hidden: {done.stderr.strip()}")
    if "connect this machine to its package sources" in done.stderr and "resolv" in done.stderr:
        pytest.skip(f"no network: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert tuple(map(int, told["version"].split(".")[:2])) >= (3, 10)
    assert told["users"] == ["somebody", "worker"]
    # The fetched Erlang, not an installed one.
    assert Path(told["program"]).is_relative_to(clone / ".packages"), told["program"]
    assert [text.split()[1] for text in told["postgres"]] == ["(PostgreSQL)", "(PostgreSQL)"]
    assert told["jobs"] == ["prometheus", "rabbitmq", "rabbitmq-queues"]
    assert (told["notes"], told["replica"]) == ([], "t")
    assert left_below(home / "tmp") == []
    assert sorted(path.name for path in (clone / ".packages").iterdir()) == [
        "postgresql",
        "prometheus",
        "rabbitmq-server",
    ]
