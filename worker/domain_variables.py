"""Domain variables: settings of the database for one domain, as ``DATABASE_URL_ORDERS`` is for the domain ``orders``.

A name that ends in ``_FILE`` always means a file: the address of a domain ``orders-file`` can be given by
``DATABASE_URL_ORDERS_FILE_FILE`` alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from worker.credentials import file_variable
from worker.database_addresses import ADDRESS_FIELDS

__all__ = ["nearly_one", "own_variables", "read_variable", "setting_of", "suffix_of", "suffixes"]

_FILE = "_FILE"
# A shared environment may hold what is another program's: only what differs by a letter or two is taken for ours.
_CUTOFF = 0.75


def suffix_of(domain_name: str) -> str:
    """Return what a domain is called in its variables: in capitals, with ``_`` for ``-``."""
    return domain_name.upper().replace("-", "_")


def setting_of(field: str, suffix: str) -> str:
    """Return a setting's name for one domain; for all of them if there is no suffix."""
    return f"{field}_{suffix.lower()}" if suffix else field


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have the form of a setting for one domain, whichever that is."""
    return {name: value for name, value in environment.items() if _read(name) is not None}


def read_variable(name: str) -> tuple[str, str, bool]:
    """Take one of ``own_variables`` apart: the field, what the domain is called in it, and whether it names a file."""
    read = _read(name)
    if read is None:
        raise ValueError(f"{name} is no setting for one domain")
    return read


def suffixes(variables: Iterable[str]) -> tuple[str, ...]:
    """Return what the domains are called that these variables are for, in order."""
    return tuple(sorted({read[1] for name in variables if (read := _read(name)) is not None}))


def nearly_one(variables: Collection[str], served: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Return each variable that is for none of the domains that are served, and which one it nearly is, if any.

    Args:
        variables: Those that are set.
        served: What the domains that are served are called in their variables.
    """
    known = set(served)
    for name in sorted(variables):
        if (read := _read(name)) is None or read[1] in known:
            continue
        field, suffix, is_file = read
        wanted = {each: setting_of(field, each).upper() + _FILE * is_file for each in known}
        # A file's setting for all looks like that of a domain with a misspelt name.
        wanted["FILE"] = file_variable(field)
        near = get_close_matches(suffix.upper(), wanted, n=1, cutoff=_CUTOFF)
        # Where that one is set as well, both are meant: the other one for a domain that other workers serve.
        yield name, wanted[near[0]] if near and wanted[near[0]] not in variables else None


def _read(name: str) -> tuple[str, str, bool] | None:
    """Take a variable's name apart; None if it has not the form of a setting for one domain."""
    for field in ADDRESS_FIELDS:
        start = f"{field.upper()}_"
        if name.startswith(start) and name != file_variable(field):
            rest = name.removeprefix(start)
            if suffix := rest.removesuffix(_FILE):
                return field, suffix, suffix != rest
    return None
