"""Properties are encoded byte for byte as by the library, and decoded as by the library."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from worker.amqp.properties import Properties, read_properties

TEXTS = st.one_of(st.none(), st.text(max_size=90), st.text(min_size=80, max_size=260))
HEADERS = st.dictionaries(
    st.text(max_size=70),
    st.one_of(st.text(), st.integers(-(2**40), 2**40), st.booleans(), st.lists(st.text(max_size=3), max_size=2)),
    max_size=4,
)
# Naive, which the library takes for UTC; it omits times before 1970.
SOON = datetime(1971, 1, 1)  # noqa: DTZ001  naive on purpose

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "content_type": TEXTS,
        "content_encoding": TEXTS,
        "headers": st.one_of(st.none(), HEADERS),
        "delivery_mode": st.sampled_from([None, 1, 2]),
        "priority": st.one_of(st.none(), st.integers(0, 255)),
        "correlation_id": TEXTS,
        "reply_to": TEXTS,
        "expiration": TEXTS,
        "message_id": TEXTS,
        "timestamp": st.one_of(
            st.none(),
            st.datetimes(min_value=SOON),
            st.datetimes(min_value=SOON, timezones=st.just(UTC)),
        ),
        "message_type": TEXTS,
        "user_id": TEXTS,
        "app_id": TEXTS,
    },
)


def written(kind: type[spec.Basic.Properties], fields: dict[str, Any]) -> bytes | type[Exception]:
    try:
        return kind(**fields).marshal()
    except (TypeError, ValueError) as error:
        return type(error)


@given(FIELDS)
def test_every_property_is_encoded_as_by_the_library(fields: dict[str, Any]) -> None:
    assert written(Properties, fields) == written(spec.Basic.Properties, fields)


@pytest.mark.parametrize("value", ["x" * 256, "\ud800"])
def test_an_invalid_property_raises_the_librarys_error(value: str) -> None:
    assert written(Properties, {"message_id": value}) == written(spec.Basic.Properties, {"message_id": value})
    assert isinstance(written(Properties, {"message_id": value}), type)


def read(text: bytes) -> spec.Basic.Properties | type[Exception]:
    """Properties, decoded by the library."""
    header = ContentHeader()
    try:
        header.unmarshal(struct.pack(">HHQ", 60, 0, 0) + text)
    except (ValueError, struct.error, IndexError, KeyError, OverflowError, OSError) as error:
        return type(error)
    return header.properties


def read_here(text: bytes) -> spec.Basic.Properties | type[Exception]:
    try:
        return read_properties(text)
    except (ValueError, struct.error, IndexError, KeyError, OverflowError, OSError) as error:
        return type(error)


@given(FIELDS)
def test_every_property_is_decoded_as_by_the_library(fields: dict[str, Any]) -> None:
    text = written(spec.Basic.Properties, fields)
    if isinstance(text, bytes):
        assert read_here(text) == read(text)


@given(FIELDS, st.data())
def test_damaged_properties_are_decoded_as_by_the_library(fields: dict[str, Any], data: st.DataObject) -> None:
    text = written(spec.Basic.Properties, fields)
    if not isinstance(text, bytes):
        return
    damaged = bytearray(text)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    assert read_here(cut) == read(cut)


def test_common_properties_do_not_need_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = Properties(
        content_type="application/json",
        headers={"traceparent": "00-1-2-01", "x-delivery-count": 2, "x-small": -1},
        delivery_mode=2,
        correlation_id="c",
        reply_to="r",
        message_id="m",
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        message_type="Count",
    )
    text = properties.marshal()
    monkeypatch.setattr(Properties, "unmarshal", None)
    assert read_properties(text) == properties
