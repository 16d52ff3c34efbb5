"""Arrays as one text: each element by itself, whatever is in it."""

import pytest

from eventstore.postgres.arrays import json_array


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        ([], "{}"),
        (["{}"], '{"{}"}'),
        (['{"a":1}', '{"b":"x,y}"}'], r'{"{\"a\":1}","{\"b\":\"x,y}\"}"}'),
        ([r'{"a":"\\"}', r'{"a":"\""}'], r'{"{\"a\":\"\\\\\"}","{\"a\":\"\\\"\"}"}'),
        # What is no JSON stays an element, and is refused as the one that it is.
        (["\x01", "{}"], '{"\x01","{}"}'),
        (["{\x01}"], '{"{\x01}"}'),
    ],
)
def test_texts_of_json_stay_apart(texts: list[str], written: str) -> None:
    assert json_array(texts) == written
