"""Text is read and written with an explicit encoding, never with the locale's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("eventstore", "handlers", "worker", "deploy", "examples")
# Calls that take an encoding and use the locale's without one.
TEXTS = {"read_text", "write_text", "TextIOWrapper", "NamedTemporaryFile", "TemporaryFile"}


def nameless(text: str) -> Iterator[int]:
    """Yield the lines that read or write text without an encoding."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        # The mode argument: first in ``Path.open``, second in the built-in ``open``.
        given = [
            each.value
            for each in (*node.args[:2], named.get("mode"))
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and set(each.value) <= set("rwxab+t")
        ]
        is_binary = any("b" in each for each in given)
        # An ``open`` of another object has no mode argument.
        opens = called == "open" and (isinstance(node.func, ast.Name) or bool(given))
        texts = called in TEXTS and (not called.endswith("TemporaryFile") or bool(given))
        pipes = any(
            isinstance(flag := named.get(name), ast.Constant) and flag.value is True
            for name in ("text", "universal_newlines")
        )
        if (texts or pipes or opens) and not is_binary and "encoding" not in named:
            yield node.lineno


def test_all_text_has_an_explicit_encoding() -> None:
    sources = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 200
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (*sources, ROOT / "dynamic_streams_worker.py")
        for line in nameless(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "path.read_text()",
        'files("package").joinpath("a.sql").read_text()',
        'path.write_text("a")',
        "open(path)",
        'open(path, "w")',
        'path.open("w")',
        'path.open(mode="r")',
        "TextIOWrapper(stream)",
        'TemporaryFile("w+")',
        "run(command, text=True)",
    ],
)
def test_a_text_without_an_encoding_is_found(text: str) -> None:
    assert list(nameless(text)) == [1]


@pytest.mark.parametrize(
    "text",
    [
        'path.read_text(encoding="utf-8")',
        'open(path, "rb")',
        'path.open("ab")',
        "store.open()",
        'open(path, "w", encoding="ascii")',
        "TemporaryFile()",
        "path.read_bytes()",
        'run(command, text=True, encoding="utf-8")',
    ],
)
def test_calls_that_need_no_encoding_are_accepted(text: str) -> None:
    assert list(nameless(text)) == []
