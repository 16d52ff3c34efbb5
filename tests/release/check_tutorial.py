"""The tutorial, followed line by line: a new folder, a new environment, the built wheel, real servers.

Then the web application of docs/programs.md with FastAPI, in the tutorial's folder and against its worker.
"""

import re
import time
from pathlib import Path

import pytest

from deploy.local.stack_folder import StackFolder
from tests.release.shell import Shell
from tests.support import tutorial
from tests.support.tutorial import Code

ROOT = Path(__file__).parents[2]
_UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_ASK = """
from uuid import uuid4
from fastapi.testclient import TestClient
from web import app

with TestClient(app) as client:
    order = {"order": "web-1", "product": "tea", "pieces": 1}
    assert client.put(f"/orders/{uuid4()}", json=order).status_code == 409
    assert client.put(f"/orders/{uuid4()}", json={"order": "web-1"}).status_code == 422
    assert client.get("/shelves/tea").json() == 0
    assert client.get("/shelves/tea", params={"seen": "abc"}).status_code == 422
"""


def check_the_tutorial_works_as_written(tmp_path: Path) -> None:
    if StackFolder().is_locked():
        pytest.fail("the tutorial starts and stops the local stack, and one runs already: stop it with 'make down'")
    # The folder in which the page puts the clone.
    (tmp_path / "dynamic-streams-worker").symlink_to(ROOT)
    folder, shell, written = tmp_path / "shop", Shell(tmp_path, {}), dict[str, str]()
    began = time.monotonic()
    try:
        for step in tutorial.steps():
            if isinstance(step, Code):
                written[step.file] = "\n\n".join(filter(None, (written.get(step.file), step.text)))
                (folder / step.file).write_text(written[step.file])
                continue
            if step.command.startswith("kill %1"):
                _ask_the_web_application(shell, folder)
            printed = shell.type(step.command)
            print(f"{time.monotonic() - began:6.1f} s  {step.command}")  # noqa: T201  the duration is the figure that this check measures
            if step.printed:
                assert _plain(printed) == _plain(step.printed), step.command
            if step.command == "worker run &":
                shell.wait_for("consuming orders.commands")
    finally:
        shell.close()
        if StackFolder().is_locked():
            down = Shell(tmp_path, {})
            down.type(f"make --directory {ROOT} down")
            down.close()


def _ask_the_web_application(shell: Shell, folder: Path) -> None:
    page = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
    (folder / "web.py").write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    (folder / "ask.py").write_text(_ASK)
    shell.type("pip install --quiet fastapi httpx")
    shell.type("python ask.py")


def _plain(printed: str) -> str:
    """Return output without what differs each time: ids and durations."""
    last = re.sub(r"\A[.\s\[\]\d%]*(\d+ passed) in .*", r"\1", printed, flags=re.DOTALL)
    return re.sub(_UUID, "ID", last).strip()
