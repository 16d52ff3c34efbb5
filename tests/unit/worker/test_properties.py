"""Properties that are sent are written byte for byte as the library would write them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st

from worker.amqp.properties import Properties

TEXTS = st.one_of(st.none(), st.text(max_size=90), st.text(min_size=80, max_size=260))
HEADERS = st.dictionaries(
    st.text(max_size=70),
    st.one_of(st.text(), st.integers(-(2**40), 2**40), st.booleans(), st.lists(st.text(max_size=3), max_size=2)),
    max_size=4,
)
# Without a zone, which the library takes for UTC; before 1970 it writes none.
SOON = datetime(1971, 1, 1)  # noqa: DTZ001  as a sender may have it


def written(kind: type[spec.Basic.Properties], fields: dict[str, Any]) -> bytes | type[Exception]:
    try:
        return kind(**fields).marshal()
    except (TypeError, ValueError) as error:
        return type(error)


@given(
    st.fixed_dictionaries(
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
)
def test_every_property_is_written_as_the_library_writes_it(fields: dict[str, Any]) -> None:
    assert written(Properties, fields) == written(spec.Basic.Properties, fields)


@pytest.mark.parametrize("value", ["x" * 256, "\ud800"])
def test_what_cannot_be_written_raises_the_librarys_error(value: str) -> None:
    assert written(Properties, {"message_id": value}) == written(spec.Basic.Properties, {"message_id": value})
    assert isinstance(written(Properties, {"message_id": value}), type)
