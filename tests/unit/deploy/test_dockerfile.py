"""The Dockerfile, as far as it can be checked without Docker, and the wheel that it installs."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import worker
from tests.support.composition import ROOT


def _instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", code)
    return [(name, rest.strip()) for name, rest in re.findall(r"^([A-Z]+)\s+(.*)$", joined, re.MULTILINE)]


def _last(name: str) -> str:
    """The last instruction of a kind, which applies to the final image."""
    return [rest for instruction, rest in _instructions() if instruction == name][-1]


def _final_stage() -> list[tuple[str, str]]:
    instructions = _instructions()
    start = max(index for index, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[start:]


def _copied() -> list[str]:
    """The paths copied from the build context."""
    sources = []
    for name, rest in _instructions():
        if name == "COPY" and not rest.startswith("--from="):
            sources += rest.split()[:-1]
    return sources


def _ignored(path: str) -> bool:
    """Whether ``.dockerignore`` excludes a path: the last line that matches it or a parent folder decides."""
    ignored = False
    parents = [str(parent) for parent in Path(path).parents if str(parent) != "."]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        candidates = [path, *parents]
        if line.startswith("**/"):
            candidates = [part for candidate in candidates for part in (candidate, Path(candidate).name)]
        if any(fnmatch(candidate, pattern) for candidate in candidates):
            ignored = not line.startswith("!")
    return ignored


def test_it_runs_as_a_numeric_non_root_user() -> None:
    instructions = _final_stage()
    users = [rest for name, rest in instructions if name == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_it_starts_the_worker_and_stops_on_sigterm() -> None:
    assert json.loads(_last("ENTRYPOINT")) == ["worker"]
    assert json.loads(_last("CMD")) == ["run"]
    assert _last("STOPSIGNAL") == "SIGTERM"


def test_its_programs_are_the_projects_console_scripts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    health = re.search(r"CMD (\[.*\])$", _last("HEALTHCHECK"))
    assert health is not None
    for program in (json.loads(health[1])[0], json.loads(_last("ENTRYPOINT"))[0]):
        assert program in project["scripts"]


def test_it_holds_no_settings_and_no_secrets() -> None:
    values = [rest for name, rest in _instructions() if name in {"ENV", "ARG"}]
    assert values
    assert not [value for value in values if re.search(r"URL|PASSWORD|SECRET|TOKEN|KEY|DOMAINS|OTEL", value)]


def test_it_has_the_standard_labels() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', _last("LABEL")))
    assert (labels["title"], labels["description"]) == (project["name"], project["description"])
    # Passed by `make image`, which reads the version from its single source.
    told = {name: f"${{{name.upper()}}}" for name in ("version", "revision", "source")}
    assert told.items() <= labels.items()
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nimage:")[2].partition("\n\n")[0]
    assert set(re.findall(r"--build-arg (\w+)=", recipe)) == {name.upper() for name in told}
    found = re.search(r"sed -n '(.*?)' (\S+)\)", recipe)
    assert found is not None
    # As make passes it to sed.
    script, place = found[1].replace("$$", "$"), found[2]
    read = subprocess.run(["/usr/bin/env", "sed", "-n", script, place], cwd=ROOT, capture_output=True, check=True)
    assert read.stdout.decode().strip() == worker.__version__


def test_copied_files_exist_and_are_not_ignored() -> None:
    assert _copied()
    for source in _copied():
        assert (ROOT / source).exists(), source
        assert not _ignored(source), source


@pytest.mark.parametrize(
    "path",
    [".env", ".git", ".venv", "compose.yaml", "tests", "deploy", "requirements.lock", "worker/__pycache__/a.pyc"],
)
def test_all_other_files_are_ignored(path: str) -> None:
    assert _ignored(path)


def test_every_package_is_installed_by_hash() -> None:
    commands = [command for name, rest in _instructions() if name == "RUN" for command in rest.split("&&")]
    installing = [command for command in commands if "pip install" in command]
    assert installing
    for command in installing:
        assert "--require-hashes" in command or "--no-deps --no-index /wheels/" in command, command


def test_all_packages_are_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]) <= set(_copied())


def test_the_wheel_is_complete(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    build = tmp_path / "build"
    build.mkdir()
    # Built from the files in the build context: a file that is not copied is missing from the wheel.
    for source in _copied():
        (build / source).symlink_to(ROOT / source)
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", str(tmp_path), str(build)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "worker = dynamic_streams_worker:main" in archive.read(points).decode()
    statements = {str(path.relative_to(ROOT)) for path in (ROOT / "eventstore").rglob("*.sql")}
    assert statements
    assert statements <= names
    assert {"eventstore/py.typed", "handlers/py.typed", "worker/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
