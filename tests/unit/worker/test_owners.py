"""Finding the domain of a named object: the errors if no domain has one."""

import pytest

from tests.unit.handlers.lamps import domain as lamps
from worker.failures import Mistake
from worker.owners import owner_of


def test_without_any_such_object_the_error_says_so() -> None:
    with pytest.raises(Mistake, match=r"^there is no scenario 'rush', nor any other in lamps; name another domain in "):
        owner_of("scenario", "rush", [lamps], lambda domain: [each.name for each in domain.scenarios])


def test_otherwise_known_names_are_listed() -> None:
    views = ", ".join(view.name for view in lamps.views)
    with pytest.raises(Mistake, match=f"^there is no view 'rush'; known are {views}[.]$"):
        owner_of("view", "rush", [lamps], lambda domain: [each.name for each in domain.views])
