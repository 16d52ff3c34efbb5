"""The commands of the README and of a folder that ``worker new`` makes, as they are written, on real servers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack_folder import StackFolder
from tests.release.shell import Shell
from tests.support.tutorial import Typed, typed

ROOT = Path(__file__).parents[2]
_ID = r"^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_CONSUMING = "consuming orders.commands"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A terminal in the clone."""
    if StackFolder().is_locked():
        pytest.fail("the README starts the local stack, and one runs already: stop it with 'make down'")
    shell = Shell(tmp_path, {})
    shell.type(f"cd {ROOT}")
    yield shell
    shell.close()
    if StackFolder().is_locked():
        down = Shell(tmp_path, {})
        down.type(f"make --directory {ROOT} down")
        down.close()


def check_the_readme_and_a_new_folder_work_as_written(shell: Shell, tmp_path: Path) -> None:
    for step in commands((ROOT / "README.md").read_text(encoding="utf-8").split("\n## Run\n")[1].split("\n## ")[0]):
        shown = shell.type(step.command)
        if step.command.startswith("worker run"):
            shell.wait_for(_CONSUMING)
        if step.printed:
            assert plain(shown) == plain(step.printed), step.command
    shell.type(f"kill %1 && wait && cd {tmp_path} && worker new corner && cd corner")
    printed = ""
    for step in commands((tmp_path / "corner" / "README.md").read_text(encoding="utf-8")):
        if step.command.startswith(("pip install", "docker")):
            continue  # pytest is installed; the local stack stands in for the containers
        if step.command.startswith("worker run"):
            shell.type("worker run &")
            shell.wait_for(_CONSUMING, times=2)
            continue
        printed = shell.type(step.command)
        if step.command.startswith("source"):
            shell.type(f"source {ROOT}/.stack/env")
    # Two that the README's commands left, five, and three fewer.
    assert printed.strip() == "4"
    shell.type("kill %1 && wait")


def commands(text: str) -> Iterator[Typed]:
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for step in typed(block):
            command = re.sub(r"\s+# .*$", "", step.command)
            yield Typed(command=command, printed=step.printed)


def plain(printed: str) -> str:
    """Return output without the ids, which differ each time."""
    return re.sub(_ID, "ID", printed, flags=re.MULTILINE).strip()
