"""The licence of each package that is installed with this one, by what the package itself says."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["ACCEPTED", "PROJECT", "of_extras", "of_image", "said_by"]

PROJECT = "dynamic-streams-worker"
_LOCK = Path(__file__).parents[2] / "requirements-runtime.lock"

ACCEPTED = frozenset(
    {
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "LGPL-3.0-only",  # psycopg, an extra: it is used as it is, and not in the image
        "MIT",
        "MIT-0",
        "MPL-2.0",  # certifi: it is used as it is
        "PSF-2.0",
    }
)
"""What may be installed with this package, by SPDX identifier."""

# What older metadata calls them.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def of_image() -> set[str]:
    """Return the names of the packages that the image installs."""
    return set(re.findall(r"^([a-z0-9.-]+)==", _LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def of_extras() -> dict[str, set[str]]:
    """Return, for this package alone (the empty name) and with each extra, the names of all that is installed."""
    extras = metadata.metadata(PROJECT).get_all("Provides-Extra") or []
    return {extra: set(_needed(PROJECT, frozenset({extra} - {""}), set())) - {PROJECT} for extra in ("", *extras)}


def said_by(package: str) -> str:
    """Return the SPDX expression of a package, by its own metadata; what it says, if that is none.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed here.
    """
    said = metadata.metadata(package)
    for expression in said.get_all("License-Expression") or ():
        return str(expression)
    kinds = [kind.rpartition(" :: ")[2] for kind in said.get_all("Classifier") or () if kind.startswith("License ::")]
    # The text may be the whole licence.
    named = [str(text) for text in said.get_all("License") or () if "\n" not in text]
    one = named[0] if named else " AND ".join(kinds)
    return _SPDX.get(one, one)


def _needed(package: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    if (package, extras) in seen:
        return
    seen.add((package, extras))
    yield package
    for line in metadata.requires(package) or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield from _needed(canonicalize_name(needed.name), frozenset(needed.extras), seen)
