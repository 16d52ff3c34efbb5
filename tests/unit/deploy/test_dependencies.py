"""Dependencies: their licences are known and accepted, and the audit reports unknown packages."""

import json
import re
from importlib.metadata import PackageNotFoundError

import pytest

from deploy.dependencies import audit
from deploy.dependencies.licences import ACCEPTED, of_extras, of_image, said_by
from tests.support.composition import ROOT

# Installed on other operating systems only.
ELSEWHERE = {"colorama"}


def _listed() -> dict[str, str]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([a-z0-9.-]+)` \| ([^|]+) \|", text, re.MULTILINE))


def _brought() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9.-]+)` \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE)
    return {package: by.split(", ") for package, by in rows}


def _licences(expression: str) -> set[str]:
    """The licences of an SPDX expression; of alternatives, the first accepted one."""
    parts = [re.split(r" OR ", part) for part in expression.split(" AND ")]
    return {next((one for one in part if one in ACCEPTED), part[0]) for part in parts}


def test_every_package_is_listed_with_its_licence() -> None:
    installed = of_image() | set().union(*of_extras().values())
    listed = _listed()
    assert set(listed) == installed
    assert {package for package, by in _brought().items() if by == ["the package"]} == of_extras()[""]
    for extra, packages in of_extras().items():
        if extra:
            brought = {package for package, by in _brought().items() if f"`[{extra}]`" in by}
            assert packages - of_extras()[""] == brought - ELSEWHERE, extra
    for package in sorted(installed):
        try:
            assert listed[package] == said_by(package), package
        except PackageNotFoundError:
            assert package in ELSEWHERE, package


def test_every_licence_is_accepted() -> None:
    for package, expression in _listed().items():
        assert _licences(expression) <= ACCEPTED, f"{package}: {expression}"


def test_the_image_names_the_licences_of_its_packages() -> None:
    listed = _listed()
    named = re.search(r'image\.licenses="([^"]+)"', (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert named is not None
    inside = set().union(*(_licences(listed[package]) for package in of_image())) | {"MIT"}
    assert named[1].split(" AND ") == sorted(inside)


def test_the_image_has_the_dependencies_of_its_extras() -> None:
    extras = of_extras()
    needed = extras[""] | extras["worker"] | extras["erasure"] | extras["console"]
    assert needed - of_image() == set()
    assert of_image() - needed <= ELSEWHERE


@pytest.mark.parametrize(
    ("answer", "errors", "status", "says"),
    [
        (
            {"dependencies": [{"name": "a", "version": "1", "vulns": []}]},
            "",
            0,
            "No vulnerability is known of what requirements-runtime.lock",
        ),
        (
            {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]},
            "",
            1,
            "a 1: PYSEC-1, fixed in 2",
        ),
        ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, "", 2, "a: not found"),
        (None, "WARNING:first\nERROR:no route to the service", 2, "as in CI (ERROR:no route to the service)."),
    ],
)
def test_an_audits_result_is_summarized(answer: object, errors: str, status: int, says: str) -> None:
    told = audit.report("" if answer is None else json.dumps(answer), errors)
    assert told[0] == status
    assert says in told[1]
