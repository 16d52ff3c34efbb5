"""Domain variables: database settings for one domain, such as ``DATABASE_URL_ORDERS`` for the domain ``orders``.

A name that ends in ``_FILE`` always names a file: the address of a domain ``orders-file`` can only be given by
``DATABASE_URL_ORDERS_FILE_FILE``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from worker.credentials import file_variable
from worker.database_addresses import ADDRESS_FIELDS

__all__ = ["nearly_one", "own_variables", "read_variable", "setting_of", "suffix_of", "suffixes"]

_FILE = "_FILE"
# A shared environment may hold another program's variables: only a name that differs by a letter or two is a typo.
_CUTOFF = 0.75


def suffix_of(domain_name: str) -> str:
    """Return a domain's suffix in its variables: in capitals, with ``_`` for ``-``."""
    return domain_name.upper().replace("-", "_")


def setting_of(field: str, suffix: str) -> str:
    """Return the name of a field's setting for one domain; for all domains if ``suffix`` is empty."""
    return f"{field}_{suffix.lower()}" if suffix else field


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have the form of a setting for one domain, whether or not the domain exists."""
    return {name: value for name, value in environment.items() if _read(name) is not None}


def read_variable(name: str) -> tuple[str, str, bool]:
    """Split one of ``own_variables`` into its field, the domain's suffix, and whether it names a file."""
    read = _read(name)
    if read is None:
        raise ValueError(f"{name} is no setting for one domain")
    return read


def suffixes(variables: Iterable[str]) -> tuple[str, ...]:
    """Return the sorted suffixes of the domains that these variables are for."""
    return tuple(sorted({read[1] for name in variables if (read := _read(name)) is not None}))


def nearly_one(variables: Collection[str], served: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each variable that is for no served domain, with the variable it is probably a misspelling of, or None.

    Args:
        variables: The variables that are set.
        served: The suffixes of the served domains.
    """
    known = set(served)
    for name in sorted(variables):
        if (read := _read(name)) is None or read[1] in known:
            continue
        field, suffix, is_file = read
        wanted = {each: setting_of(field, each).upper() + _FILE * is_file for each in known}
        # A file variable for all domains looks like a variable of a domain with a misspelt name.
        wanted["FILE"] = file_variable(field)
        near = get_close_matches(suffix.upper(), wanted, n=1, cutoff=_CUTOFF)
        # If that one is set as well, neither is a misspelling: this one is for a domain that other workers serve.
        yield name, wanted[near[0]] if near and wanted[near[0]] not in variables else None


def _read(name: str) -> tuple[str, str, bool] | None:
    """Split a variable's name; None if it does not have the form of a setting for one domain."""
    for field in ADDRESS_FIELDS:
        start = f"{field.upper()}_"
        if name.startswith(start) and name != file_variable(field):
            rest = name.removeprefix(start)
            if suffix := rest.removesuffix(_FILE):
                return field, suffix, suffix != rest
    return None
