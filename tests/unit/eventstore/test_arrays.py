"""Arrays of JSON texts as one text: no element's content affects another element."""

import pytest

from eventstore.postgres.arrays import json_array


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        ([], "{}"),
        (["{}"], '{"{}"}'),
        (['{"a":1}', '{"b":"x,y}"}'], r'{"{\"a\":1}","{\"b\":\"x,y}\"}"}'),
        ([r'{"a":"\\"}', r'{"a":"\""}'], r'{"{\"a\":\"\\\\\"}","{\"a\":\"\\\"\"}"}'),
        # Invalid JSON remains one element, and is refused as that element.
        (["\x01", "{}"], '{"\x01","{}"}'),
        (["{\x01}"], '{"{\x01}"}'),
    ],
)
def test_elements_stay_separate(texts: list[str], written: str) -> None:
    assert json_array(texts) == written
