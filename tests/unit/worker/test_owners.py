"""The domain that a person means: what is said where none has anything of the kind."""

import pytest

from tests.unit.handlers.lamps import domain as lamps
from worker.failures import Mistake
from worker.owners import owner_of


def test_where_no_domain_has_any_it_is_said_so() -> None:
    with pytest.raises(Mistake, match=r"^there is no scenario 'rush', nor any other in lamps; name another domain in "):
        owner_of("scenario", "rush", [lamps], lambda domain: [each.name for each in domain.scenarios])


def test_where_some_have_one_what_is_known_is_listed() -> None:
    views = ", ".join(view.name for view in lamps.views)
    with pytest.raises(Mistake, match=f"^there is no view 'rush'; known are {views}[.]$"):
        owner_of("view", "rush", [lamps], lambda domain: [each.name for each in domain.views])
