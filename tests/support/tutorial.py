"""The tutorial as its reader follows it: files that grow by a piece of code at a time, and commands that are typed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE", "Code", "Typed", "files", "steps"]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A piece of code, which goes below what the file holds already.

    Attributes:
        file: The file: the last one that the text before it names.
        text: The code.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command at the shell's prompt.

    Attributes:
        command: The line, as it is typed.
        printed: What the page shows below it; empty where it shows nothing.
    """

    command: str
    printed: str


def steps() -> Iterator[Code | Typed]:
    """Return what the reader does, in order."""
    text = PAGE.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        if block[1] == "python":
            yield Code(file=re.findall(r"`(\w+\.py)`", text[: block.start()])[-1], text=block[2])
            continue
        for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[2], re.MULTILINE):
            yield Typed(command=command, printed=printed)


def files() -> dict[str, str]:
    """Return the files as they are at the end, by their names."""
    grown: dict[str, str] = {}
    for step in steps():
        if isinstance(step, Code):
            before = grown.get(step.file)
            grown[step.file] = step.text if before is None else f"{before}\n\n{step.text}"
    return grown
