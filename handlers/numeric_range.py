"""The numbers that a column of PostgreSQL's type ``numeric`` can hold.

https://www.postgresql.org/docs/current/datatype-numeric.html
"""

from decimal import Decimal

from eventstore.counted import counted

__all__ = ["beyond_numeric"]

_MOST_WHOLE, _MOST_FRACTION = 131_072, 16_383


def beyond_numeric(number: Decimal) -> str | None:
    """Return what is wrong with a number that no column can hold; None for all others.

    In their binary format, drivers store a number that is too large as 0.
    """
    if not number.is_finite():
        return None
    exponent = number.as_tuple().exponent
    is_large = bool(number) and number.adjusted() >= _MOST_WHOLE
    if not is_large and isinstance(exponent, int) and -exponent <= _MOST_FRACTION:
        return None
    whole, fraction = counted(_MOST_WHOLE, "digit"), f"{_MOST_FRACTION:,}"
    return f"holds numbers of {whole} before the point and {fraction} after it, not {number:.9E}"
