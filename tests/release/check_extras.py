"""The package in an otherwise empty environment: each extra, installed alone from the wheel."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import worker

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
PROJECT = "dynamic-streams-worker"

_STORE = """
import asyncio
from eventstore import Event, Filter, MemoryEventStore, P
from eventstore.postgres import PostgresEventStore, migrate
from handlers import Domain, Reader
from handlers.testing import kit

async def main():
    store = MemoryEventStore()
    await store.append([Event(type="A", payload={"k": "v"})])
    stream = await store.query(Filter.matching().any_predicate_of(P("k", "v")))
    assert len(stream.events) == 1

asyncio.run(main())
"""
# A program for each extra that fails without it. Only the console needs another extra as well.
_PROMISES = {
    "": _STORE,
    "worker": _STORE
    + "from worker import Publisher, ReadModels\nfrom worker.cli.app import app\nimport worker.service\n",
    "psycopg": _STORE + "import eventstore.postgres.drivers.psycopg\n",
    "sqlalchemy": _STORE + "import eventstore.postgres.drivers.sqlalchemy\n",
    "erasure": _STORE + "from handlers import MasterKeys\nMasterKeys(['A' * 43 + '='])\n",
    "archive": _STORE + "from eventstore.postgres.administration.archiving.event_table import parquet\nparquet()\n",
    "worker,console": _STORE + "import worker.console.app, worker.console.service\n",
}


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("extra", _PROMISES, ids=lambda extra: extra or "none")
def check_each_extra_alone_is_sufficient(extra: str, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    assert run(sys.executable, "-m", "venv", "venv", folder=tmp_path).returncode == 0
    wanted = f"{PROJECT}[{extra}]" if extra else PROJECT
    installed = run(python, "-m", "pip", "install", "--quiet", "--find-links", DIST, wanted, folder=tmp_path)
    assert installed.returncode == 0, installed.stderr
    promised = run(python, "-W", "error", "-c", _PROMISES[extra], folder=tmp_path)
    assert promised.returncode == 0, promised.stderr
    if not extra:
        # The program fails without the extra: otherwise its success would prove nothing.
        for other in set(_PROMISES) - {""}:
            assert "ModuleNotFoundError" in run(python, "-c", _PROMISES[other], folder=tmp_path).stderr, other
    version = run(
        python, "-c", f"import importlib.metadata as m; print(m.version({PROJECT!r}), end='')", folder=tmp_path
    )
    assert version.stdout == worker.__version__
    called = run(tmp_path / "venv" / "bin" / "worker", "--version", folder=tmp_path)
    if "worker" in extra:
        assert called.stdout == f"worker {worker.__version__}\n"
    else:
        # One sentence that names what to install, without a traceback.
        assert (called.returncode, called.stderr.count("\n")) == (2, 1)
        assert f"pip install '{PROJECT}[worker]'" in called.stderr


def check_every_extra_is_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {extra for extras in _PROMISES for extra in extras.split(",")} - {""}
    assert installed == set(project["optional-dependencies"])


def check_the_wheels_metadata() -> None:
    (wheel,) = DIST.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (named,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        said = message_from_string(files.read(named).decode())
    assert (said["Name"], said["Version"], said["License-Expression"]) == (PROJECT, worker.__version__, "MIT")
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (said["Summary"], said["Requires-Python"]) == (project["description"], project["requires-python"])
    assert set(said.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])


def check_the_list_of_installed_packages_is_the_lock() -> None:
    assert run(sys.executable, "-m", "deploy.dependencies.sbom", folder=ROOT).returncode == 0
    listed = json.loads((DIST / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (listed["metadata"]["component"]["name"], listed["metadata"]["component"]["version"]) == (
        PROJECT,
        worker.__version__,
    )
    found = {each["name"].lower().replace("_", "-"): each for each in listed["components"]}
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+) (?!; sys_platform == 'win32')", lock, re.MULTILINE))
    assert {name: each["version"] for name, each in found.items()} == pinned
    assert [name for name, each in found.items() if not each.get("licenses")] == []


def check_the_wheel_built_from_the_sdist_has_the_same_files(tmp_path: Path) -> None:
    (archive,) = DIST.glob("*.tar.gz")
    (wheel,) = DIST.glob("*.whl")
    made = run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", archive),
        folder=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    (again,) = tmp_path.glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def check_the_package_contains_types_and_statements_and_no_tests() -> None:
    (wheel,) = DIST.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in ("eventstore", "handlers", "worker")} <= names
    # Every file besides the code: statements, migrations, pages, templates.
    tracked = run("git", "ls-files", "eventstore", "handlers", "worker", folder=ROOT).stdout.splitlines()
    assert tracked
    assert set(tracked) <= names
    assert {name.partition("/")[0] for name in names} == {
        *("eventstore", "handlers", "worker", "dynamic_streams_worker.py"),
        f"dynamic_streams_worker-{worker.__version__}.dist-info",
    }
    (archive,) = DIST.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"} <= held
