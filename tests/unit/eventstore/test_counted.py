"""Numbers with singular or plural nouns, and their use in messages: never "1 events"."""

import re
from pathlib import Path

import pytest

from eventstore.counted import counted

PACKAGES = ("eventstore", "handlers", "worker", "deploy")
ROOT = Path(__file__).parents[3]
# A number before a plural noun in an f-string or a log message.
_NUMBERED = re.compile(r"(?:%d|\{[^{}]*(?::,|len\([^{}]*\))\}) (?:more )?(?!ms\b)[a-z]+s\b")
# Numbers that are never 1.
_NEVER_ONE = {
    "MAX_DIGITS",
    "LARGEST_APPEND",
    "_MOST_LATEST",
    "len(distinct)",
    "len(appends)",
    "len(filters)",
    "%d processes open",
    "%d workers share",
    "%d shards of",
}


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (12_345, "12,345 events"), (-1, "-1 events")]
)
def test_a_noun_is_singular_after_one(count: int, said: str) -> None:
    assert counted(count, "event") == said


def test_a_noun_may_have_an_irregular_plural_or_a_verb() -> None:
    assert [counted(count, "copy", "copies") for count in (1, 2)] == ["1 copy", "2 copies"]
    assert [counted(count, "letter is", "letters are") for count in (1, 2)] == ["1 letter is", "2 letters are"]


def test_no_message_has_a_fixed_plural() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if _NUMBERED.search(line) and not any(known in line for known in _NEVER_ONE)
    ]
    assert found == []
