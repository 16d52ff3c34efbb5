import json
import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import Position
from worker.message import BadMessage, CommandMessage, Reply, digest, parse_reply, read_body

LIMITS = {"max_bytes": 1024 * 1024, "max_depth": 64}


def properties(**given: Any) -> Any:
    nothing = {
        "message_id": None,
        "message_type": None,
        "correlation_id": None,
        "reply_to": None,
        "timestamp": None,
        "headers": None,
    }
    return SimpleNamespace(**{**nothing, **given})


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_an_envelope_without_correlation_ids_starts_a_conversation() -> None:
    command_id = uuid4()
    message = CommandMessage.parse(properties(message_id=str(command_id), message_type="Count"), b"{}")
    assert message.command_id == command_id
    assert message.correlation_id == message.causation_id == str(command_id)
    assert message.reply_to is None


def test_an_envelope_keeps_its_correlation_ids() -> None:
    message = CommandMessage.parse(
        properties(
            message_id=str(uuid4()), message_type="Count", correlation_id="visit", headers={"causation-id": "door"}
        ),
        b"{}",
    )
    assert (message.correlation_id, message.causation_id) == ("visit", "door")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"message_type": "Count"}, "missing_message_id"),
        ({"message_id": "", "message_type": "Count"}, "missing_message_id"),
        ({"message_id": "42", "message_type": "Count"}, "malformed_message_id"),
        ({"message_id": str(uuid4())}, "missing_type"),
    ],
)
def test_an_invalid_envelope_is_named(given: dict[str, str], code: str) -> None:
    with pytest.raises(BadMessage) as raised:
        CommandMessage.parse(properties(**given), b"{}")
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"nope", "not_json"),
        (b'{"a":1', "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 20 + b"}" * 20, "not_json"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a":"' + b"x" * 2**21 + b'"}', "too_large"),
        (b'{"Edition": 1e1000}', "number_too_long"),
        (b'{"Edition": 1e999999999999}', "number_too_long"),
        (b'{"Edition": -1E-9999}', "number_too_long"),
        (b'{"Edition": 1e9999999999999999999}', "number_too_long"),
        (b'{"Edition": 0.5E-9999999999999999999}', "number_too_long"),
        (b'{"Copies": [{"Edition": 1e+3000000}]}', "number_too_long"),
        (b'{"Edition": %s}' % (b"9" * 1001), "number_too_long"),
        (b'{"Edition": 0.%s}' % (b"9" * 1001), "number_too_long"),
        (nested(65), "too_deep"),
        (nested(10_000), "too_deep"),
        (b"[" * 10_000, "too_deep"),
        (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
        (b"[{" * 200_000, "too_deep"),
    ],
)
def test_an_invalid_body_is_named(body: bytes, code: str) -> None:
    with pytest.raises(BadMessage) as raised:
        read_body(body, **LIMITS)
    assert raised.value.code == code
    assert raised.value.text


def test_digits_in_strings_and_long_numbers_are_read() -> None:
    body = b'{"a": "1e9999 %s", "b": 1e999, "c": -1E-999, "d": %s}' % (b"9" * 2000, b"9" * 1000)
    assert read_body(body, **LIMITS)["d"] == 10**1000 - 1


@pytest.mark.parametrize(
    "body",
    [
        nested(64),
        b'{"a":"' + b"[{" * 1000 + b'"}',
        b'{"a":"' + b'\\"[' * 1000 + b'"}',
        b'{"a":[' + b"[],{}," * 1000 + b"[]]}",
    ],
)
def test_brackets_in_strings_and_in_sequence_are_not_nesting(body: bytes) -> None:
    assert read_body(body, **LIMITS) == json.loads(body)


def test_a_hostile_body_is_parsed_in_linear_time() -> None:
    # A quadratic scan of this megabyte takes minutes; the limit is far from both.
    body = b"[" * 100 + b'"' + b'\\"' * 500_000
    begun = time.process_time()
    with pytest.raises(BadMessage):
        read_body(body, **LIMITS)
    assert time.process_time() - begun < 5


def test_fractions_and_big_integers_are_kept() -> None:
    value = read_body(b'{"a":0.1,"b":123456789012345678901234567890}', **LIMITS)
    assert str(value["a"]) == "0.1"
    assert value["b"] == 123456789012345678901234567890


def test_the_digest_depends_on_the_command_and_not_on_its_formatting() -> None:
    one = digest("Count", read_body(b'{"a":1,"b":[1,2]}', **LIMITS))
    assert one == digest("Count", read_body(b'{ "b": [1, 2], "a": 1 }', **LIMITS))
    assert one != digest("Count", read_body(b'{"a":1,"b":[2,1]}', **LIMITS))
    assert one != digest("CountOnce", read_body(b'{"a":1,"b":[1,2]}', **LIMITS))


SPELLINGS = [
    (b"1", b"1.0", b"1.00", b"1e0", b"10E-1"),
    (b"0", b"0.0", b"-0", b"-0.0", b"0e5"),
    (b"100", b"1e2", b"1.0E+2", b"100.000"),
    (b"4.5", b"4.50", b"45e-1", b"0.45E1"),
    (b"-12.25", b"-12.250", b"-1225e-2"),
    # Beyond the precision of floats, and of decimal arithmetic.
    (b"0.1", b"0.10000000000000000000000000000000000000"),
    (b"0.10000000000000000000000000000000000001", b"10000000000000000000000000000000000001e-38"),
    (b"100000000000000000000000000000000000000000000", b"1e44"),
    (b"100000000000000000000000000000000000000000001", b"100000000000000000000000000000000000000000001.0"),
    (b'"1"',),
    (b'"1.0"',),
    (b"true",),
]


def test_the_digest_of_a_number_is_one_in_all_its_spellings() -> None:
    digests = [
        {digest("Pay", read_body(b'{"to":"E.","rates":[{"of":%s}]}' % each, **LIMITS)) for each in spellings}
        for spellings in SPELLINGS
    ]
    assert [len(each) for each in digests] == [1] * len(SPELLINGS)
    assert len(set().union(*digests)) == len(SPELLINGS)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(command_id=UUID(int=1), outcome="accepted", first=7, last=8, position=Position(number=8, token=5)),
        Reply(command_id=UUID(int=2), outcome="rejected", reason="full", duplicate=True),
        Reply(command_id=UUID(int=3), outcome="failed", reason="not_json: …"),
    ],
)
def test_a_reply_round_trips(reply: Reply) -> None:
    assert parse_reply(reply.to_json()) == reply
    assert set(json.loads(reply.to_json())) == {
        "command_id",
        "outcome",
        "reason",
        "first",
        "last",
        "position",
        "duplicate",
    }


@pytest.mark.parametrize("body", [b"", b"{}", b'{"command_id":"x","outcome":"accepted"}', b'{"outcome":"eaten"}'])
def test_an_invalid_reply_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_reply(body)


def test_a_failed_reply_has_a_code_as_its_reason() -> None:
    failed = Reply(command_id=None, outcome="failed", reason="invalid_body: Key: field required")
    assert parse_reply(failed.to_json()).code == "invalid_body"
    assert Reply(command_id=None, outcome="rejected", reason="late: by a day").code is None
    assert Reply(command_id=None, outcome="failed").code is None
