"""``worker new NAME``."""

import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from worker.cli.terminal import tell
from worker.failures import Mistake

__all__ = ["new"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
# By their path in the new folder; @name@ stands for its name, in texts and in paths.
_FILES = {
    ".env": "env.txt",
    ".gitignore": "gitignore.txt",
    "README.md": "README.md.txt",
    "compose.yaml": "compose.yaml.txt",
    "pyproject.toml": "pyproject.toml.txt",
    "@name@/__init__.py": None,
    "@name@/orders.py": "orders.py.txt",
    "tests/test_orders.py": "test_orders.py.txt",
}


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the folder and of the package in it.")],
) -> None:
    """Make a folder to start from: a package with a domain, its test, a Compose file with the servers, and settings.

    It is made in the current folder, completely or not at all; existing files are not changed.
    """
    target = Path(name)
    _check(name, target)
    template = files("worker.cli").joinpath("template")
    try:
        # Beside it, so that it is moved to its place in one step.
        with TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
            made = Path(folder, name)
            for place, source in _FILES.items():
                file = made / place.replace("@name@", name)
                file.parent.mkdir(parents=True, exist_ok=True)
                text = template.joinpath(source).read_text(encoding="utf-8") if source else ""
                file.write_text(text.replace("@name@", name), encoding="utf-8")
            made.rename(target)
    except OSError as error:
        raise Mistake(f"{name} cannot be made here: {error.strerror}.") from error
    tell(f"Made {name}, with a domain and its test. Next: cd {name}, and do what its README.md says.")


def _check(name: str, target: Path) -> None:
    if iskeyword(name):
        raise Mistake(f"{name} is a word of Python's own, so no package can be called that; choose another name.")
    if not _NAME.fullmatch(name):
        raise Mistake(
            f"{name!r} cannot be the name of a Python package: use lower-case letters, digits and _, beginning with a "
            "letter."
        )
    if target.exists():
        raise Mistake(f"{name} is here already; choose another name, or remove it.")
    if name == "tests" or name in sys.stdlib_module_names or find_spec(name) is not None:
        raise Mistake(f"the name {name} is taken by another Python package; choose another one.")
