"""The pages of the Python API are generated from the docstrings."""

import re
from importlib import import_module

import pytest

from deploy.site import api
from deploy.site.api_contents import PAGES, TASKS, Page


def test_the_pages_are_up_to_date() -> None:
    written = {file: (api.DOCS / file).read_text(encoding="utf-8") for file in api.written()}
    assert written == api.written(), "the docstrings have changed: call 'make api'"


def _public(module: str) -> list[str]:
    return [name for name in import_module(module).__all__ if not name.startswith("_")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)
def test_every_public_name_is_in_the_tables_and_described_once(page: Page) -> None:
    text = (api.DOCS / page.file).read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[?`(\w+)`(?:\]\(#\S+\))? \|(.+)\|$", text, re.MULTILINE)
    public = [name for section in page.sections for name in section.names or _public(section.module)]
    assert sorted(name for name, _ in rows) == sorted(public)
    assert [name for name, told in rows if not told.strip(" |")] == []
    described = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert len(described) == len(set(described))


def test_the_imports_on_the_page_work() -> None:
    for task in TASKS:
        for line in task.imports:
            exec(line, {})  # noqa: S102  code of the documentation
