"""Docstrings as Markdown."""

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import griffe

__all__ = ["WIDTH", "documented", "filled", "first_sentence", "python_block", "text_of"]

WIDTH = 120
"""How wide a line of a page may be."""

_TITLES = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "returns": "Returns",
    "yields": "Yields",
    "raises": "Raises",
}


def text_of(found: griffe.Object | griffe.Alias) -> str:
    """Return what a docstring says before its sections, as one line of Markdown; empty without one."""
    sections = found.docstring.parsed if found.docstring is not None else ()
    told = [section.value for section in sections if section.kind is griffe.DocstringSectionKind.text]
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(" ".join(told).split()))


def first_sentence(found: griffe.Object | griffe.Alias) -> str:
    """Return a docstring's first sentence, as one line of Markdown."""
    return re.split(r"(?<=\.) (?=[A-Z`])", text_of(found).partition(" :: ")[0], maxsplit=1)[0]


def documented(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Return the paragraphs and lists that a docstring becomes."""
    for section in found.docstring.parsed if found.docstring is not None else ():
        if section.kind is griffe.DocstringSectionKind.text:
            yield from prose(section.value)
        elif (title := _TITLES.get(section.kind.value)) is not None:
            yield f"{title}:\n"
            yield "\n".join(_items(section.value)) + "\n"
        else:
            raise TypeError(
                f"a docstring of {found.path} has a section {section.kind.value}: the page has no form for it"
            )


def python_block(text: str) -> str:
    """Return Python as a block of code."""
    # Quoted as everywhere in the code: values come back in the form of Python's own.
    return "```python\n" + (text if '"' in text else text.replace("'", '"')) + "\n```\n"


def prose(text: str) -> Iterator[str]:
    """Return paragraphs, lists and code as Markdown has them."""
    for block in re.split(r"\n\n(?=\S)", text.strip()):
        told, literal, code = block.partition("::\n\n")
        told = told.strip()
        if re.match(r"[*-] ", told):
            for item in re.split(r"\n(?=[*-] )", told):
                yield filled(item[2:], "* ")
            yield ""
        elif told:
            yield filled(told + (":" if literal else "")) + "\n"
        if literal:
            yield python_block(textwrap.dedent(code).rstrip())


def _items(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        name = getattr(item, "name", "") or str(getattr(item, "annotation", None) or "")
        yield filled(f"`{name}`: {item.description}" if name else item.description, "* ")


def filled(text: str, mark: str = "") -> str:
    """Return a paragraph, or an item of a list, in lines of this width."""
    # A name in quotes, or a link, is not broken.
    whole = re.sub(r"``?([^`]+)``?", lambda found: f"`{found[1]}`".replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(
        whole,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")
