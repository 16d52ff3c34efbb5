"""CloudEvents: the published form of an event."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp_event
from cloudevents.core.exceptions import CloudEventValidationError

from eventstore import Event, RecordedEvent
from handlers import InvalidRelay, Relay
from handlers.relay import Mode
from tests.support.domains.bells import bells
from worker.amqp.ordered_sender import Outgoing
from worker.reading.cloud_event import message_of

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _event(payload: dict[str, Any], **metadata: Any) -> RecordedEvent:
    return Event(type="Rung", payload=payload, metadata=metadata, occurred_at=AT).recorded(17, token=3)


def _message(event: RecordedEvent, *, mode: Mode = "binary", subject: str | None = None, source: str = "") -> Outgoing:
    return message_of(event, bells(), Relay(name="aloud", mode=mode, subject=subject), source)


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_the_cloudevents_package_reads_it(mode: Mode) -> None:
    event = _event(
        {"Bell": "great", "Tons": Decimal("13.7")}, traceparent=TRACE, correlation_id="talk", command_id="why"
    )
    sent = _message(event, mode=mode, subject="Bell", source="urn:tower")
    assert (sent.routing_key, sent.properties.message_type, sent.properties.message_id) == ("Rung", "Rung", "17")
    read = from_amqp_event(
        AMQPMessage({"content-type": sent.properties.content_type}, dict(sent.properties.headers or {}), sent.body)
    )
    assert read.get_attributes() == {
        "specversion": "1.0",
        "id": "17",
        "source": "urn:tower",
        "type": "Rung",
        "subject": "great",
        "time": AT,
        "datacontenttype": "application/json",
        "traceparent": TRACE,
        "correlationid": "talk",
        "causationid": "why",
    }
    assert read.get_data() == {"Bell": "great", "Tons": 13.7}


def test_missing_fields_are_omitted_and_every_digit_is_kept() -> None:
    digits = Decimal("0.12345678901234567890")
    sent = _message(_event({"Bell": "", "Tons": digits}), subject="Bell")
    assert sent.properties.headers == {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": "17",
        "cloudEvents_source": "/bells",
        "cloudEvents_type": "Rung",
        "cloudEvents_time": "2026-02-03T04:05:06.789012Z",
    }
    assert json.loads(sent.body, parse_float=Decimal)["Tons"] == digits


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (Decimal("1.50"), "1.50"), (True, "true"), (False, "false")])
def test_a_subject_is_written_in_its_json_form(value: Any, text: str) -> None:
    headers = _message(_event({"Bell": value}), subject="Bell").properties.headers or {}
    assert headers["cloudEvents_subject"] == text


@pytest.mark.parametrize(("value", "kind"), [([], "a list"), ({"of": "iron"}, "a dict")])
def test_a_subject_that_is_neither_text_nor_number_is_reported(value: Any, kind: str) -> None:
    with pytest.raises(InvalidRelay, match=f"the field Bell is the subject of the relay aloud, and holds {kind};"):
        _message(_event({"Bell": value}), subject="Bell")


def test_an_invalid_source_is_an_error() -> None:
    with pytest.raises(CloudEventValidationError):
        message_of(_event({"Bell": "a"}), bells(), Relay(name="aloud"), 3)  # type: ignore[arg-type]  # invalid on purpose
