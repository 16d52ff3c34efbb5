"""Packages of somebody's own that are named like ours: found out at the start, and told in one sentence."""

import sys
from pathlib import Path

import pytest

from tests.e2e.program import Ended, ended, kept, started

SCRIPT = (str(Path(sys.executable).with_name("worker")),)
MODULE = (sys.executable, "-m", "worker")
TAKEN = "rename it, or take its folder off Python's path: the names eventstore, handlers and worker are taken."


async def call(program: tuple[str, ...], folder: Path, *arguments: str, **environment: str) -> Ended:
    async with started(*program, *arguments, environment={**kept(), **environment}, folder=folder) as process:
        return await ended(process)


@pytest.fixture(params=["handlers/__init__.py", "handlers.py", "eventstore/__init__.py", "eventstore.py"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What hides a package of ours: a module, or a package."""
    file = tmp_path / str(request.param)
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    return file.parent if file.name == "__init__.py" else file


async def test_a_package_that_hides_ours_is_named(theirs: Path, tmp_path: Path) -> None:
    told = f"{theirs} hides the package {theirs.stem} of this program; {TAKEN}"
    assert (await call(MODULE, tmp_path, "run")).mistake() == told
    assert (await call(SCRIPT, tmp_path, "config", PYTHONPATH=str(tmp_path))).mistake() == told


@pytest.mark.parametrize("name", ["worker.py", "worker/__init__.py"])
async def test_a_worker_of_their_own_on_pythons_path_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / name).write_text("print('theirs')")
    place = tmp_path / name.removesuffix("/__init__.py")
    found = (await call(SCRIPT, tmp_path, "run", PYTHONPATH=str(tmp_path))).mistake()
    assert found == f"{place} hides the package worker of this program; {TAKEN}"


@pytest.mark.parametrize("name", ["worker.py", "worker/__init__.py", "handlers/__init__.py", "typer.py", "json.py"])
async def test_the_script_is_ours_whatever_lies_in_the_current_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise SystemExit('theirs')")
    (tmp_path / "lamps.py").write_text("from tests.unit.handlers.lamps import domain\n")
    root = Path(__file__).parents[2]
    end = await call(SCRIPT, tmp_path, "load", "list", "--json", WORKER_DOMAINS="lamps:domain", PYTHONPATH=str(root))
    assert (end.status, end.complaint) == (0, "")
    assert end.document() == []


async def test_a_folder_without_a_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "orders.py").write_text("domain = None\n")
    found = (await call(MODULE, tmp_path, "load", "list", WORKER_DOMAINS="handlers.orders:domain")).mistake()
    assert found == (
        "WORKER_DOMAINS: handlers.orders cannot be imported: there is no module handlers.orders; handlers is a package "
        "of this program: if yours is meant, give it another name."
    )
