"""``python -m deploy.site.api``: write ``docs/api.md``, and a page for each module, from the docstrings.

The code is read, not run. A test compares the pages with what this makes of it.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import griffe

from deploy.site.api_contents import ERRORS, HEAD, PAGES, TASKS, Page
from deploy.site.docstrings import documented, filled, first_sentence, python_block, text_of
from deploy.site.signatures import declared, is_error

__all__ = ["DOCS", "written"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


_SAME = re.compile(r"See `(\w+)\.\w+`\.")


def written() -> dict[str, str]:
    """Return the pages, by file, as the docstrings have them now."""
    loader = griffe.GriffeLoader(search_paths=[ROOT], docstring_parser=griffe.Parser.google)
    modules = [section.module for page in PAGES for section in page.sections]
    for package in sorted({module.partition(".")[0] for module in modules}):
        loader.load(package)
    loader.resolve_aliases(implicit=False, external=False)
    return {"api.md": _overview(), **{page.file: "\n".join(_page(page, loader.modules_collection)) for page in PAGES}}


def _overview() -> str:
    rows = ["| to | import | guide |", "| --- | --- | --- |"]
    rows += [f"| {t.want} | {'<br>'.join(f'`{line}`' for line in t.imports)} | {t.guide} |" for t in TASKS]
    rows += ["", "## By module", ""]
    rows += [f"* [`{page.title}`]({page.file}): {page.told}" for page in PAGES]
    return "\n".join([HEAD, *rows, "", ERRORS])


def _page(page: Page, modules: griffe.ModulesCollection) -> Iterator[str]:
    """Return the blocks of a module's page: what there is, in tables, and then each in full."""
    yield f"# `{page.title}`\n"
    yield filled(f"From the docstrings: {page.told}. [Python API](api.md) says what to begin with.") + "\n"
    headings = set[str]()
    for section in page.sections:
        module = modules[section.module]
        listed = section.names or tuple(str(name) for name in module.exports or ())
        found = {name: _target(module.members[name]) for name in sorted(listed, key=str.lower) if name[0] != "_"}
        errors = {name: target for name, target in found.items() if is_error(target)}
        told = {name: target for name, target in found.items() if name not in errors or _has_details(target)}
        links = {name: _heading(name, section.module, headings) for name in told}
        if len(page.sections) > 1:
            yield f"## {section.title}\n"
        if others := {name: target for name, target in found.items() if name not in errors}:
            yield _table(("name", "what it is"), ((_link(n, links), first_sentence(t)) for n, t in others.items()))
        if errors:
            yield f"##{'#' * (len(page.sections) > 1)} Errors\n" if others else ""
            yield _table(("error", "is a", "when, and what then"), _error_rows(errors, links))
        if len(page.sections) == 1:
            yield "## In full\n"
        for name, heading in links.items():
            yield from _described(heading, found[name])


def _target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if isinstance(found, griffe.Alias) else found


def _has_details(error: griffe.Object) -> bool:
    """Whether it has more than a text: attributes, or something that it is made by."""
    sections = error.docstring.parsed if error.docstring is not None else ()
    return any(section.kind is not griffe.DocstringSectionKind.text for section in sections) or any(
        _is_public(member) for member in error.members.values()
    )


def _error_rows(errors: Mapping[str, griffe.Object], links: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, error in errors.items():
        bases = ", ".join(f"`{base}`" for base in error.bases) if isinstance(error, griffe.Class) else ""
        yield _link(name, links), bases, text_of(error)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _link(name: str, links: Mapping[str, str]) -> str:
    return f"[`{name}`](#{links[name].lower().replace('.', '')})" if name in links else f"`{name}`"


def _heading(name: str, module: str, seen: set[str]) -> str:
    """Return a name, with its module where one before it has the same letters: links do not tell capitals."""
    heading = name if name.lower() not in seen else f"{module}.{name}"
    seen.add(name.lower())
    return heading


def _described(name: str, target: griffe.Object) -> Iterator[str]:
    yield f"### {name}\n"
    yield python_block(declared(target))
    yield from documented(target)
    if not isinstance(target, griffe.Class):
        return
    members = [member for member in target.members.values() if _is_public(member)]
    # What only says that it does as its protocol says is named, not shown again.
    same = {member.name: found[1] for member in members if (found := _SAME.fullmatch(text_of(member)))}
    if same:
        (protocol,) = set(same.values())
        yield (
            filled(
                f"As [{protocol}](api-eventstore.md#{protocol.lower()}) has them: "
                + ", ".join(f"`{n}`" for n in same)
                + "."
            )
            + "\n"
        )
    for member in members:
        if member.name not in same:
            yield f"#### {name}.{member.name}\n"
            yield python_block(declared(member))
            yield from documented(member)


def _is_public(member: griffe.Object | griffe.Alias) -> bool:
    """Whether it is a method or property that is called by who has the object."""
    if isinstance(member, griffe.Alias) or member.name.startswith("_") or member.docstring is None:
        return False
    return isinstance(member, griffe.Function) or "property" in member.labels


if __name__ == "__main__":
    for file, text in written().items():
        (DOCS / file).write_text(text, encoding="utf-8")
    sys.stdout.write(f"docs/{', docs/'.join(written())} are written.\n")
