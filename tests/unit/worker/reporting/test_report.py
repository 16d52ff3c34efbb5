import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.reports import part, report
from worker.reporting.report import MOST_BYTES, encode, hashed, read_report


def test_a_report_is_read_as_it_was_written() -> None:
    sent = report(counters={"received": 3}, latency={0.01: 3}, parts=[part("b1", conflicts=2)])
    assert read_report(encode(sent)) == sent


def test_fields_of_a_later_version_are_ignored() -> None:
    sent = report(parts=[part()])
    document = json.loads(encode(sent))
    document["moon"] = "full"
    document["parts"][0]["colour"] = "red"
    assert read_report(json.dumps(document).encode()) == sent


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("worker"),
        lambda document: document.update(host=""),
        lambda document: document.update(host="x" * 301),
        lambda document: document.update(pid="seven"),
        lambda document: document.update(interval=0),
        lambda document: document.update(seconds=-1),
        lambda document: document.update(started_at="2026-01-05T10:00:00"),
        lambda document: document.update(latency=[1]),
        lambda document: document.update(bounds=[2, 1], latency=[0, 0, 0]),
        lambda document: document.update(counters={"received": -1}),
        lambda document: document.update(counters={str(n): n for n in range(101)}),
        lambda document: document.update(parts=document["parts"] * 11),
        lambda document: document.update(domains=document["domains"] * 201),
        lambda document: document["parts"][0].update(commands=-1),
        lambda document: document["parts"][0].update(key=""),
    ],
)
def test_an_invalid_message_is_no_report(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(encode(report(parts=[part()])))
    change(document)
    with pytest.raises(ValueError, match=r"."):
        read_report(json.dumps(document).encode())


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"[]", b"{}", b" " * (MOST_BYTES + 1)])
def test_other_messages_are_no_reports(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_report(body)


def test_a_hash_is_stable_and_distinguishes_keys() -> None:
    assert hashed('["b1"]') == "fd79afa697cb"
    assert len({hashed(f'["b{n}"]') for n in range(1000)}) == 1000
