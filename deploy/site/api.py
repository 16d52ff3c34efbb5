"""``python -m deploy.site.api``: write ``docs/api.md`` from the docstrings of all public names.

The code is read, not run. A test compares the page with what this makes of it.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import griffe

__all__ = ["PAGE", "page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
_WIDTH = 120
_HEAD = """\
# Python API

What programs import, from its docstrings: `make api` writes this page, and a test holds it to them. Guides come first:
[Handlers](handlers.md), [The event store](eventstore.md), [In a web application, in a notebook](programs.md).
"""
_TITLES = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "returns": "Returns",
    "yields": "Yields",
    "raises": "Raises",
}
_STARS = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
_LONGEST_VALUE = 80


class _Section(NamedTuple):
    title: str
    module: str
    names: tuple[str, ...] = ()  # all public ones, if empty


_SECTIONS = (
    _Section("Domains: `handlers`", "handlers"),
    _Section("Their tests: `handlers.testing`", "handlers.testing"),
    _Section("Publishing and reading: `worker`", "worker"),
    _Section("What these raise: `worker.errors`", "worker.errors"),
    _Section("The store: `eventstore`", "eventstore"),
    _Section(
        "The steps of a filter: `eventstore.filter`",
        "eventstore.filter",
        ("ItemBuilder", "TypesFilter", "PredicatesFilter", "OpenFilter", "UnboundedFilter", "SinceFilter"),
    ),
    _Section("On PostgreSQL: `eventstore.postgres`", "eventstore.postgres"),
)


def page() -> str:
    """Return the page as the docstrings have it now."""
    loader = griffe.GriffeLoader(search_paths=[ROOT], docstring_parser=griffe.Parser.google)
    for package in sorted({section.module.partition(".")[0] for section in _SECTIONS}):
        loader.load(package)
    loader.resolve_aliases(implicit=False, external=False)
    blocks, seen = [_HEAD], set[str]()
    for section in _SECTIONS:
        module = loader.modules_collection[section.module]
        listed = section.names or tuple(str(name) for name in module.exports or ())
        names = sorted((name for name in listed if not name.startswith("_")), key=str.lower)
        blocks.append(f"## {section.title}\n")
        headings = {name: _heading(name, section.module, seen) for name in names}
        links = [f"[{name}](#{heading.lower().replace('.', '')})" for name, heading in headings.items()]
        blocks.append(_filled(" · ".join(links)) + "\n")
        for name, heading in headings.items():
            blocks += _described(heading, module.members[name])
    return "\n".join(blocks)


def _heading(name: str, module: str, seen: set[str]) -> str:
    """Return a name, with its module where one before it has the same letters: links do not tell capitals."""
    heading = name if name.lower() not in seen else f"{module}.{name}"
    seen.add(name.lower())
    return heading


def _described(name: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    yield f"### {name}\n"
    yield _code(_declared(target))
    yield from _documented(target)
    if isinstance(target, griffe.Class):
        for member in target.members.values():
            if _is_public(member):
                yield f"#### {name}.{member.name}\n"
                yield _code(_declared(member))
                yield from _documented(member)


def _is_public(member: griffe.Object | griffe.Alias) -> bool:
    """Whether it is a method or property that is called by who has the object."""
    if isinstance(member, griffe.Alias) or member.name.startswith("_") or member.docstring is None:
        return False
    return isinstance(member, griffe.Function) or "property" in member.labels


def _declared(found: griffe.Object | griffe.Alias) -> str:
    """Return a signature, or a name and its value."""
    if isinstance(found, griffe.Function):
        marks = "".join(f"@{mark}\n" for mark in ("classmethod", "staticmethod") if mark in found.labels)
        begin = f"{'async ' if 'async' in found.labels else ''}def {found.name}"
        end = f" -> {found.returns}" if found.returns is not None else ""
        return marks + _call(begin, [p for p in found.parameters if p.name not in {"self", "cls"}], end)
    if isinstance(found, griffe.Class):
        return _class(found)
    if not isinstance(found, griffe.Attribute):
        raise TypeError(f"{found.path} is a {found.kind.value}, for which the page has no form")
    typed = f": {found.annotation}" if found.annotation is not None else ""
    value = str(found.value) if len(str(found.value)) <= _LONGEST_VALUE else "..."
    return f"{found.name}{typed}" + ("" if "property" in found.labels else f" = {value}")


def _class(found: griffe.Class) -> str:
    """Return what a class is made with; of what nobody makes, what it is."""
    bases = [str(base) for base in found.bases]
    if any(base.endswith("Enum") for base in bases):
        named = [member for member in found.members.values() if isinstance(member, griffe.Attribute) and member.value]
        return f"class {found.name}({', '.join(bases)}):\n" + "\n".join(f"    {m.name} = {m.value}" for m in named)
    if _is_error(found) or any(base.startswith("Protocol") for base in bases):
        return f"class {found.name}({', '.join(bases)})"
    # One that is opened by a method of its own is not made in any other way.
    made = [] if "connect" in found.members else list(_made_with(found))
    return _call(f"class {found.name}", made, "") if made else f"class {found.name}"


def _is_error(found: griffe.Class) -> bool:
    outer = any(str(base).endswith(("Error", "Exception", "Warning")) for base in found.bases)
    return outer or any(_is_error(base) for base in found.resolved_bases if isinstance(base, griffe.Class))


def _made_with(found: griffe.Class) -> Iterator[griffe.Parameter]:
    """Return what its constructor takes: one of its own, or its fields."""
    if isinstance(made := found.members.get("__init__"), griffe.Function):
        yield from (p for p in made.parameters if p.name != "self")
        return
    only = any("kw_only" in str(part) for part in (*found.keywords.items(), *found.decorators))
    kind = griffe.ParameterKind.keyword_only if only else griffe.ParameterKind.positional_or_keyword
    for field in found.members.values():
        if isinstance(field, griffe.Attribute) and _is_field(field):
            yield griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=field.value)


def _is_field(found: griffe.Attribute) -> bool:
    if found.name.startswith("_") or found.annotation is None or "property" in found.labels:
        return False
    return "ClassVar" not in str(found.annotation) and "init=False" not in str(found.value)


def _call(begin: str, parameters: Sequence[griffe.Parameter], end: str) -> str:
    written: list[str] = []
    for parameter in parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not any(p.startswith("*") for p in written):
            written.append("*")
        stars = _STARS.get(parameter.kind, "") if parameter.kind is not None else ""
        typed = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = "" if parameter.default is None or stars else f" = {parameter.default}"
        written.append(f"{stars}{parameter.name}{typed}{default}")
        if parameter.kind is griffe.ParameterKind.positional_only:
            written.append("/")
    line = f"{begin}({', '.join(written)}){end}"
    if len(line) <= _WIDTH or not written:
        return line
    return f"{begin}(\n" + "".join(f"    {part},\n" for part in written) + f"){end}"


def _documented(found: griffe.Object | griffe.Alias) -> Iterator[str]:
    for section in found.docstring.parsed if found.docstring is not None else ():
        if section.kind is griffe.DocstringSectionKind.text:
            yield from _prose(section.value)
        elif (title := _TITLES.get(section.kind.value)) is not None:
            yield f"{title}:\n"
            yield "\n".join(_items(section.value)) + "\n"
        else:
            raise TypeError(
                f"a docstring of {found.path} has a section {section.kind.value}: the page has no form for it"
            )


def _code(text: str) -> str:
    # Quoted as everywhere in the code: values come back in the form of Python's own.
    return "```python\n" + (text if '"' in text else text.replace("'", '"')) + "\n```\n"


def _prose(text: str) -> Iterator[str]:
    """Return paragraphs, lists and code as Markdown has them."""
    for block in re.split(r"\n\n(?=\S)", text.strip()):
        told, literal, code = block.partition("::\n\n")
        told = told.strip()
        if re.match(r"[*-] ", told):
            for item in re.split(r"\n(?=[*-] )", told):
                yield _filled(item[2:], "* ")
            yield ""
        elif told:
            yield _filled(told + (":" if literal else "")) + "\n"
        if literal:
            yield _code(textwrap.dedent(code).rstrip())


def _items(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        name = getattr(item, "name", "") or str(getattr(item, "annotation", None) or "")
        yield _filled(f"`{name}`: {item.description}" if name else item.description, "* ")


def _filled(text: str, mark: str = "") -> str:
    # A name in quotes, or a link, is not broken.
    whole = re.sub(r"``?([^`]+)``?", lambda found: f"`{found[1]}`".replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(
        whole,
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace("\0", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written.\n")
