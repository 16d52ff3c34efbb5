"""JSON text, encoded and decoded without loss.

Integers of any size and decimals survive a round trip. Values that JSON or PostgreSQL's ``jsonb`` cannot hold are
refused here, so that every engine refuses the same values before anything is sent.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, cast

import msgspec

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "NotJson",
    "NumberTooLong",
    "Unstorable",
    "canonical",
    "decode_object",
    "encode_object",
    "has_long_number",
    "one_form",
    "read_back",
]

# Texts that need a full check. NaN is encoded as null; the other patterns may be part of a harmless string.
_SUSPECT = re.compile(rb"null|NaN|Infinity|\\u0000|[eE][+-]?[0-9]{4}|[0-9.]{1000}")
# Long numbers only. A match within a string costs a full check and changes nothing.
_LONG_NUMBER = re.compile(rb"[eE][+-]?[0-9]{4}|[0-9.]{1000}")
# The first half of a surrogate pair, without the second.
_HALF_A_PAIR = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])")
# PostgreSQL's numeric holds more; far below its limits all engines agree.
MAX_DIGITS = 1000
# The number of levels that the fast check for simple values descends.
_SIMPLE_DEPTH = 8
_SIMPLE_TYPES = frozenset({str, bool, type(None)})
_ONLY_TEXTS = frozenset({str})
_SMALL = 2**63
_NUL = b"\\u0000"

# Encoding may run at the bottom of the stack and decoding near its top: at the interpreter's recursion limit, a text
# could be written that can never be read. This limit lies far below.
MAX_DEPTH = 500

_encoder = msgspec.json.Encoder(decimal_format="number")
_canonical_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
# Only validates: the encoder writes keys that are decimals without quotes, which is not JSON.
_checker = msgspec.json.Decoder(msgspec.Raw)


class Unstorable(ValueError):
    """Raised by ``encode_object``: a part of the value cannot be stored. The message names it."""


class NotJson(ValueError):
    """Raised by ``decode_object``: the text is not JSON, or holds more than can be read."""


class NumberTooLong(NotJson):
    """Raised by ``decode_object``: a number's exponent is beyond those of ``Decimal``."""


def encode_object(value: object) -> str:
    """Encode a mapping as JSON text.

    Args:
        value: The mapping. Dates and UUIDs inside it are written as strings, and so are keys that are dates, UUIDs,
            integers, floats or enumerations of those.

    Returns:
        The text of a JSON object.

    Raises:
        Unstorable: The value is no mapping, is nested more than 500 levels deep, or holds NaN, an infinity, a NUL
            character, a lone surrogate, a number beyond 1,000 digits, a key of another type, such as a ``Decimal``, or
            an object that cannot be encoded as JSON.
    """
    if type(value) is dict:
        plain: dict[Any, Any] = value
    elif isinstance(value, Mapping):
        plain = value if isinstance(value, dict) else dict(value)
    else:
        raise Unstorable(f"must be a JSON object, not {type(value).__name__}")
    try:
        encoded = _encoder.encode(plain)
        # Most objects have one level, and most of these hold strings only.
        simple = (
            _SIMPLE_TYPES.issuperset(map(type, plain.values())) and _ONLY_TEXTS.issuperset(map(type, plain))
        ) or _is_simple(plain, _SIMPLE_DEPTH)
        if simple and _NUL not in encoded:
            return encoded.decode()
        if _SUSPECT.search(encoded) or encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH:
            # In builtin types: enumerations and dataclasses hide their values.
            _refuse_unstorable(msgspec.to_builtins(plain, builtin_types=(Decimal,), str_keys=True), MAX_DEPTH)
        _checker.decode(encoded)
        return encoded.decode()
    except UnicodeEncodeError:
        raise Unstorable("contains a lone surrogate, which is no character") from None
    except RecursionError:
        raise Unstorable("is nested too deeply") from None
    except Unstorable:
        raise
    except msgspec.DecodeError as error:
        raise Unstorable(f"comes out as no JSON, whose keys are strings and never decimals: {error}") from None
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise _unwritten(plain, error) from None


def _unwritten(value: dict[Any, Any], error: Exception) -> Unstorable:
    if type(error) is ValueError:
        try:
            # For a number that is too long to be written, this gives the store's own message.
            _refuse_unstorable(value, MAX_DEPTH)
        except Unstorable as found:
            return found
    return Unstorable(f"cannot be written: {error}")


def decode_object(text: str | bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode the text of a JSON object; fractions become ``Decimal``, integers stay exact.

    Raises:
        NumberTooLong: A number's exponent has some 18 digits or more. ``has_long_number`` finds shorter ones.
        NotJson: The text is not JSON, or is nested too deeply for the interpreter.
    """
    try:
        return cast("dict[str, Any]", _decoder.decode(text))
    except InvalidOperation:
        raise NumberTooLong(f"a number has more than {MAX_DIGITS:,} digits") from None
    except RecursionError:
        raise NotJson("the text is nested too deeply") from None
    except ValueError as error:
        raise NotJson(_complaint(text, error)) from error


def _complaint(text: str | bytes | msgspec.Raw, error: ValueError) -> str:
    """Return why a text cannot be decoded. The library misplaces bytes, and calls a text with half a pair truncated."""
    whole = text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)
    try:
        whole.decode()
    except UnicodeDecodeError as found:
        return f"it is not UTF-8 (byte {found.start})"
    if "truncated" in str(error) and (half := _HALF_A_PAIR.search(whole)):
        return f"{half[1].decode()} is half of a surrogate pair (byte {half.start(1)})"
    return str(error)


def canonical(value: object) -> bytes:
    """Encode a JSON value with sorted keys, for digests. ``encode_object`` must have accepted the value."""
    return _canonical_encoder.encode(value)


def one_form(value: object) -> bytes:
    """Encode a JSON value for digests, as ``canonical`` does, with one text for equal numbers, such as 1 and 1.0."""
    text = canonical(value)
    # Only a number with a fraction or an exponent has another form.
    return canonical(_plain_decoder.decode(text)) if b"." in text or b"E" in text else text


def _plain_number(text: str) -> int | Decimal:
    # Not with Decimal.normalize: it rounds to the context's precision, and makes two numbers one.
    whole, _, fraction = format(Decimal(text), "f").partition(".")
    fraction = fraction.rstrip("0")
    return Decimal(f"{whole}.{fraction}") if fraction else int(whole)


def read_back(text: str | bytes) -> dict[str, Any]:
    """Decode the text of a storable object as it reads back from PostgreSQL's ``jsonb``.

    The fields of each object are ordered by the length of their names in bytes, and then by these bytes. Numbers have
    no exponent, and zero has no sign.
    """
    found = cast("dict[str, Any]", _stored_decoder.decode(text))
    waiting: list[Any] = [found]
    while waiting:
        member = waiting.pop()
        if type(member) is dict:
            if len(member) > 1:
                fields = sorted(member.items(), key=_place)
                member.clear()
                member.update(fields)
            waiting += member.values()
        elif type(member) is list:
            waiting += member
    return found


def _stored_number(text: str) -> int | Decimal:
    value = Decimal(text)
    plain = format(value or value.copy_abs(), "f")
    return Decimal(plain) if "." in plain else int(plain)


def _place(field: tuple[str, Any]) -> tuple[int, str]:
    name = field[0]
    # UTF-8 orders texts as their characters are ordered.
    return len(name) if name.isascii() else len(name.encode()), name


def _is_simple(value: dict[Any, Any] | list[Any], levels: int) -> bool:
    """Return whether a NUL character is the only thing in the value that could be unstorable.

    True for strings, booleans, None and 64-bit integers within a few levels, which most values are. It looks at types
    only, which takes a tenth of the time of searching the text.
    """
    members: Iterable[Any] = value
    if type(value) is dict:
        if not _ONLY_TEXTS.issuperset(map(type, value)):
            return False
        members = value.values()
    for member in members:
        kind = type(member)
        if kind in _SIMPLE_TYPES:
            continue
        if kind is int:
            if not -_SMALL < member < _SMALL:
                return False
        elif not ((kind is dict or kind is list) and levels > 0 and _is_simple(member, levels - 1)):
            return False
    return True


def has_long_number(text: bytes, value: object) -> bool:
    """Return whether a JSON text holds a number beyond 1,000 digits, written out or by its exponent.

    Converting such a number to an integer takes time and memory that grow with the exponent alone.

    Args:
        text: The JSON text.
        value: The value that ``decode_object`` returned for it.
    """
    return _LONG_NUMBER.search(text) is not None and _is_long(value)


def _is_long(value: object) -> bool:
    members: list[object] = [value]
    while members:
        match members.pop():
            case dict() as found:
                members.extend(found.values())
            case list() as found:
                members.extend(found)
            case Decimal() as found:
                if max(abs(found.adjusted()) + 1, len(found.as_tuple().digits)) > MAX_DIGITS:
                    return True
            case bool():
                continue
            case int() as found:
                if abs(found) >= 10**MAX_DIGITS:
                    return True
    return False


def _refuse_unstorable(value: object, levels: int) -> None:
    if isinstance(value, Mapping | list | tuple):
        if levels == 0:
            raise Unstorable("is nested too deeply")
        for member in chain(value, value.values()) if isinstance(value, Mapping) else value:
            _refuse_unstorable(member, levels - 1)
    elif isinstance(value, str):
        if "\x00" in value:
            raise Unstorable("contains a NUL character, which PostgreSQL cannot store")
    elif isinstance(value, float | Decimal):
        _refuse_unstorable_fraction(Decimal(value))
    elif isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise Unstorable(f"contains a number beyond {MAX_DIGITS:,} digits")


def _refuse_unstorable_fraction(value: Decimal) -> None:
    if not value.is_finite():
        raise Unstorable(f"contains {value}, which JSON does not know")
    if max(abs(value.adjusted()) + 1, len(value.as_tuple().digits)) > MAX_DIGITS:
        raise Unstorable(f"contains a number beyond {MAX_DIGITS:,} digits")


_plain_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_plain_number)
_stored_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_stored_number)
