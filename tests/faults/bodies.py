"""Message bodies: JSON, almost JSON, and not JSON."""

import json
from typing import Any

from hypothesis import strategies as st

__all__ = ["SOUND", "bodies", "encoded"]

# Numbers as text, since Python would not write all of these forms.
_number = st.one_of(
    st.integers().map(str),
    st.integers(-(10**400), 10**400).map(str),
    st.sampled_from(
        ["1e999", "-1e-999", "1E+400", "-0", "0.1e1", "00", "+1", "1.", ".5", "NaN", "Infinity", "9" * 5000]
    ),
    st.floats(allow_nan=False).map(str),
)
_string = st.one_of(
    st.text(max_size=12).map(json.dumps),
    st.sampled_from(
        [
            r'"\u0000"',
            r'"\ud800"',
            r'"\udc00\ud800"',
            r'"\ud83d\udca5"',
            '"\\u202e\\ufeff"',
            '"\x01"',
            r'"\x"',
            '"' + "\u0301" * 500 + '"',
            '"e\u0301"',
        ]
    ),
)
_field = st.sampled_from(
    [
        "Key",
        "Limit",
        "Quietly",
        "BookID",
        "ReaderID",
        "Name",
        "ISBN",
        "Title",
        "Authors",
        "PublicationYear",
        "constructor",
    ]
).map(json.dumps)
_json = st.recursive(
    st.one_of(_number, _string, st.sampled_from(["null", "true", "false", "{}", "[]"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{','.join(values)}]"),
        # A name may occur twice.
        st.lists(st.tuples(st.one_of(_field, _field, _string), inner), max_size=6).map(
            lambda fields: "{" + ",".join(f"{name}:{value}" for name, value in fields) + "}"
        ),
    ),
    max_leaves=8,
)
_book: dict[str, Any] = {"ISBN": "1", "Title": "T", "Authors": "A", "Edition": "1", "Publisher": "P"}

SOUND: "dict[tuple[str, str], st.SearchStrategy[str]]" = {
    ("tally", "Count"): st.builds(lambda key, limit: f'{{"Key": {key}, "Limit": {limit}}}', _string, _number),
    ("tally", "CountOnce"): _string.map(lambda key: f'{{"Key": {key}}}'),
    ("tally", "Explode"): _string.map(lambda key: f'{{"Key": {key}}}'),
    ("library", "RegisterReader"): st.builds(
        lambda reader, name: f'{{"ReaderID": {reader}, "Name": {name}}}', _string, _string
    ),
    ("library", "AddBookCopyToCirculation"): st.builds(
        lambda book, year: json.dumps(_book)[:-1] + f', "BookID": {book}, "PublicationYear": {year}}}', _string, _number
    ),
    ("library", "LendBookCopyToReader"): st.builds(
        lambda book, reader: f'{{"BookID": {book}, "ReaderID": {reader}}}', _string, _string
    ),
}
"""By domain and command: commands that are whole, except for what is in their fields."""

_any_sound = st.one_of(*SOUND.values())


def encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _broken(text: bytes, place: int, piece: bytes) -> bytes:
    at = place % (len(text) + 1)
    return text[:at] + piece + text[at + (place % 3) :]


bodies = st.one_of(
    _any_sound.map(encoded),
    _json.map(encoded),
    st.builds(_broken, st.one_of(_any_sound, _json).map(encoded), st.integers(0, 10**6), st.binary(max_size=3)),
    st.sampled_from(
        [
            b"",
            b"\xef\xbb\xbf{}",
            '{"Key": "a"}'.encode("utf-16"),
            b"[" * 20_000,
            b'{"Key":' * 3_000,
            b'{"Key": "' + b"k" * 9_000 + b'"}',
        ]
    ),
    st.binary(max_size=64),
)
