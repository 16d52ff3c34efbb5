"""The encoding of a body, according to its properties."""

import pytest

from worker.amqp.properties import Properties
from worker.body_form import check_form
from worker.message import BadMessage, read_body

PLAIN = [
    Properties(),
    Properties(content_type="application/json"),
    Properties(content_type="application/json; charset=UTF-8", content_encoding="identity"),
    Properties(content_type="application/problem+json"),
    Properties(content_type="text/plain", content_encoding="utf-8"),
    Properties(content_type="application/octet-stream"),
]


@pytest.mark.parametrize("properties", PLAIN, ids=lambda each: f"{each.content_type} {each.content_encoding}")
def test_json_in_utf_8_is_read_under_every_common_content_type(properties: Properties) -> None:
    check_form(properties)


@pytest.mark.parametrize(
    ("properties", "code", "text"),
    [
        (Properties(content_encoding="gzip"), "unsupported_encoding", "content_encoding is 'gzip'"),
        (Properties(content_type="application/json; charset=utf-16"), "unsupported_encoding", "charset is 'utf-16'"),
        (Properties(content_type='text/json;charset="ISO-8859-1"'), "unsupported_encoding", "charset is 'ISO-8859-1'"),
        (Properties(content_type="application/msgpack"), "unsupported_content_type", "is 'application/msgpack'"),
        (Properties(content_type="text/xml"), "unsupported_content_type", "is 'text/xml'"),
    ],
)
def test_another_content_type_or_encoding_is_refused_and_named(properties: Properties, code: str, text: str) -> None:
    with pytest.raises(BadMessage, match=text) as refused:
        check_form(properties)
    assert refused.value.code == code


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_body(b'\xef\xbb\xbf{"a": 1}', max_bytes=100, max_depth=10) == {"a": 1}


@pytest.mark.parametrize("form", ["utf-16", "utf-16-be", "utf-32"])
def test_another_unicode_encoding_is_named(form: str) -> None:
    mark = b"\xfe\xff" if form == "utf-16-be" else b""
    with pytest.raises(BadMessage, match="a text in UTF-16 or UTF-32; send it in UTF-8"):
        read_body(mark + '{"a": 1}'.encode(form), max_bytes=100, max_depth=10)
