"""The page of the Python API is what the docstrings say."""

import re

from deploy.site import api


def test_the_page_is_made_of_the_docstrings() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "the docstrings have changed: call 'make api'"


def test_every_name_is_described_once() -> None:
    names = re.findall(r"^### (.+)$", api.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"Decider", "EventStore", "PostgresEventStore", "Publisher", "kit"} <= set(names)
    assert len(names) == len(set(names))
