"""``make lock`` and ``make clean``, which no test may run for real."""

import re
import subprocess
from collections import Counter
from pathlib import Path

from tests.support.composition import ROOT


def _recipe(target: str) -> str:
    """The commands of a target, with the Makefile's variables replaced."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    variables = dict(re.findall(r"^([A-Z_]+) :?\??= ?(.*)$", text, re.MULTILINE))
    return re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), found[1])


def test_every_lock_is_compiled_with_the_same_options() -> None:
    lines = _recipe("lock").splitlines()
    written = [re.findall(r"-o (\S+)", line) for line in lines]
    assert Counter(name for names in written for name in names) == Counter(
        path.name for path in ROOT.glob("requirements*.lock")
    )
    for line in lines:
        assert {"--universal", "--generate-hashes", "--no-emit-index-url"} <= set(line.split()), line
        # The first lock chooses the versions; the others are constrained to them.
        assert ("--constraint requirements.lock" in line) == (line is not lines[0]), line


def test_clean_removes_no_tracked_files() -> None:
    recipe = _recipe("clean")
    (removed,) = re.findall(r"rm -rf (?!\{)(.+)", recipe)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name in removed.split():
        assert f"{name}/" in ignored, name
    # A running stack is stopped and removes its own folder.
    assert ".stack" not in removed.split()
    assert re.search(r"test -e \.stack; then \$\(MAKE\) .*down", recipe)


def test_the_environment_of_another_clone_is_not_emptied(tmp_path: Path) -> None:
    """A worktree's ``.venv`` is often a link, and its lock newer than the stamp behind the link."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    others = tmp_path / "others"
    others.mkdir()
    (others / "kept").touch()
    (tmp_path / ".venv").symlink_to(others)
    # The command that creates the environment is replaced: nothing is installed.
    subprocess.run(["make", ".venv/.ready", "PYTHON=true"], cwd=tmp_path, capture_output=True, check=False)  # noqa: S607
    assert [path.name for path in others.iterdir()] == ["kept"]
    assert not (tmp_path / ".venv").is_symlink()
