"""``make lock`` and ``make clean``, which no other test may run."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from tests.support.composition import ROOT


def _recipe(target: str) -> str:
    """The commands of a target, with the Makefile's own variables in place."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found is not None
    variables = dict(re.findall(r"^([A-Z_]+) :?\??= ?(.*)$", text, re.MULTILINE))
    return re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), found[1])


def test_every_lock_is_written_and_in_one_way() -> None:
    lines = _recipe("lock").splitlines()
    written = [re.findall(r"-o (\S+)", line) for line in lines]
    assert Counter(name for names in written for name in names) == Counter(
        path.name for path in ROOT.glob("requirements*.lock")
    )
    for line in lines:
        assert {"--universal", "--generate-hashes", "--no-emit-index-url"} <= set(line.split()), line
        # The first decides the versions, and the rest follow it.
        assert ("--constraint requirements.lock" in line) == (line is not lines[0]), line


def test_clean_removes_nothing_that_is_kept_in_version_control() -> None:
    recipe = _recipe("clean")
    (removed,) = re.findall(r"rm -rf (?!\{)(.+)", recipe)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for name in removed.split():
        assert f"{name}/" in ignored, name
    # A stack that runs is stopped, and removes its folder itself.
    assert ".stack" not in removed.split()
    assert re.search(r"test -e \.stack; then \$\(MAKE\) .*down", recipe)


def test_an_environment_that_a_link_leads_to_is_not_emptied(tmp_path: Path) -> None:
    clone, elsewhere = tmp_path / "clone", tmp_path / "elsewhere"
    (elsewhere / "bin").mkdir(parents=True)
    (elsewhere / ".ready").touch()
    clone.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, clone / name)  # newer than the environment is
    (clone / ".venv").symlink_to(elsewhere)
    make = shutil.which("make")
    assert make is not None
    made = subprocess.run([make, "-C", clone, ".venv/.ready"], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout.count(".venv is a link")) == (2, 1), made
    assert (elsewhere / "bin").exists()
