"""The tutorial as its reader follows it: pieces of code that are appended to files, and commands that are typed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE", "Code", "Typed", "files", "steps", "typed"]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A piece of code, to be appended to a file.

    Attributes:
        file: The file: the last one named in the text before it.
        text: The code.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command at the shell's prompt.

    Attributes:
        command: The line, as it is typed.
        printed: The output that the page shows below it; empty for none.
    """

    command: str
    printed: str


def steps() -> Iterator[Code | Typed]:
    """Return the reader's steps, in order."""
    text = PAGE.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        if block[1] == "python":
            yield Code(file=re.findall(r"`(\w+\.py)`", text[: block.start()])[-1], text=block[2])
            continue
        yield from typed(block[2])


def typed(block: str) -> Iterator[Typed]:
    """Return the commands of a block of console text, in order."""
    for command, printed in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        yield Typed(command=command, printed=printed)


def files() -> dict[str, str]:
    """Return the finished files, by name."""
    grown: dict[str, str] = {}
    for step in steps():
        if isinstance(step, Code):
            before = grown.get(step.file)
            grown[step.file] = step.text if before is None else f"{before}\n\n{step.text}"
    return grown
