"""Sealing and opening values: only with the subject's key, unchanged, and in the same field of the same event."""

import base64
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from eventstore import Event, MemoryEventStore, RecordedEvent, StoreMisconfigured, Subject
from handlers import InvalidMasterKey, MasterKeys, UnreadableEvent
from handlers.erasure.sealing import SEALED, key_ids, opened, sealed
from handlers.erasure.sensitive import SensitiveField
from handlers.erasure.subject_keys import SubjectKeys
from handlers.testing import forgotten, kit
from tests.support.domains.guests import (
    FORGOTTEN,
    KEY,
    OTHER_KEY,
    Greet,
    Guest,
    GuestGreeted,
    GuestRegistered,
    domain,
    guest,
    master,
)

ADA = Subject("Guest", "ada")
FIELDS = (
    SensitiveField(name="Name", subject="Guest", replacement=FORGOTTEN),
    SensitiveField(name="More", subject="Guest", replacement=None),
)
TITLES = {"since": Decimal("1.9E+3"), "of": [{"b": 1, "a": Decimal("-0.0")}]}
VALUES: tuple[Any, ...] = ("Ada ☕", "", None, 0, 10**400, True, [1, {"a": None}], {"value": 1}, TITLES, FORGOTTEN)


def event(**payload: Any) -> Event:
    return Event(type="GuestRegistered", payload={"Guest": "ada", **payload}, metadata={"by": "test"})


def ready(keys: MasterKeys, subject: Subject = ADA) -> Any:
    return keys.unwrap(keys.make(subject))


def recorded(given: Event, key: Any) -> RecordedEvent:
    return sealed(given, FIELDS, {ADA: key}).recorded(1, 0)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:10])
def test_a_sealed_value_is_opened_unchanged(value: Any) -> None:
    key = ready(master())
    given = event(Name=value, Other=1)
    found = recorded(given, key)
    assert found.payload == {"Guest": "ada", "Name": FORGOTTEN, "Other": 1}
    assert found.metadata.keys() == {"by", SEALED}
    assert found.metadata[SEALED].keys() == {"Name"}
    assert (found.type, found.occurred_at) == (given.type, given.occurred_at)
    whole, has_all = opened(found, {key.id: key})
    # Down to the order of fields, which a state may depend on.
    assert repr(whole.payload) == repr(given.recorded(1, 0).payload)
    assert has_all


def test_equal_values_have_different_sealed_texts() -> None:
    key = ready(master())
    first, second = (recorded(event(Name="Ada"), key) for _ in range(2))
    assert first.metadata[SEALED]["Name"]["value"] != second.metadata[SEALED]["Name"]["value"]


def test_without_its_key_a_value_stays_replaced() -> None:
    key = ready(master())
    found = recorded(event(Name="Ada", More=[1]), key)
    assert opened(found, {}) == (found, False)
    assert found.payload == {"Guest": "ada", "Name": FORGOTTEN, "More": None}


def moved(found: RecordedEvent, **changes: Any) -> RecordedEvent:
    return replace(found, metadata={SEALED: found.metadata[SEALED] | changes})


def test_a_moved_or_changed_value_is_not_opened() -> None:
    key, other = ready(master()), ready(master())
    found = recorded(event(Name="Ada", More="Countess"), key)
    value = found.metadata[SEALED]["Name"]
    text = bytearray(base64.b64decode(value["value"]))
    text[-1] ^= 1
    for strange in (
        moved(found, More=value),
        moved(found, Name={**value, "value": base64.b64encode(bytes(text)).decode()}),
        moved(found, Name={**value, "value": ""}),
        moved(found, Name={**value, "key": str(other.id)}),
        replace(found, type="GuestGreeted"),
    ):
        with pytest.raises(UnreadableEvent, match=r"event 1 .* cannot be read: the sealed value of \w+ is not what"):
            opened(strange, {key.id: key, other.id: other})


@pytest.mark.parametrize("strange", [[], "Ada", {"Name": "Ada"}, {"Name": {"key": "k", "value": "v"}}, {"Name": {}}])
def test_invalid_sealed_values_in_metadata_are_reported(strange: Any) -> None:
    found = replace(recorded(event(Name="Ada"), ready(master())), metadata={SEALED: strange})
    with pytest.raises(UnreadableEvent, match="the field sealed of its metadata holds something else"):
        key_ids(found)


def test_a_wrapped_key_is_bound_to_its_subject() -> None:
    keys = master()
    made = keys.make(ADA)
    keys.unwrap(made)
    for changed in (
        replace(made, subject=Subject("Guest", "bob")),
        replace(made, subject=Subject("guest", "ada")),
        replace(made, id=keys.make(ADA).id),
        replace(made, wrapped=made.wrapped[:-1]),
    ):
        with pytest.raises(StoreMisconfigured, match="is not as it was stored"):
            keys.unwrap(changed)


def test_a_master_key_can_be_replaced() -> None:
    old, new = MasterKeys([KEY]), MasterKeys([OTHER_KEY])
    both = MasterKeys([OTHER_KEY, KEY])
    made = old.make(ADA)
    with pytest.raises(StoreMisconfigured, match=r"wrapped by the master key [0-9a-f]{16}, and given is [0-9a-f]{16}"):
        new.unwrap(made)
    assert both.unwrap(made).id == made.id
    new.unwrap(both.make(ADA))
    with pytest.raises(StoreMisconfigured):
        old.unwrap(both.make(ADA))


@pytest.mark.parametrize("text", ["", "Ada", "QWRh", KEY[:-1], KEY.replace("T", "-"), f"{KEY}{KEY}"])
def test_an_invalid_master_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidMasterKey, match="is not 32 bytes in base64") as refused:
        MasterKeys([text])
    assert not text or text not in str(refused.value)
    with pytest.raises(InvalidMasterKey, match="there is none"):
        MasterKeys([])


def test_keys_are_hidden_in_their_repr() -> None:
    keys = master()
    made = keys.make(ADA)
    assert KEY not in repr(keys)
    assert repr(keys.unwrap(made)) == f"DataKey({made.id})"


async def test_a_damaged_event_does_not_hide_other_subjects_keys() -> None:
    store = MemoryEventStore()
    keys = SubjectKeys(store, master())
    key = (await keys.for_sealing([ADA, ADA]))[ADA]
    found = recorded(event(Name="Ada"), key)
    damaged = replace(found, metadata={SEALED: 1})
    assert list(await keys.for_opening([damaged, found])) == [key.id]
    assert await keys.for_opening([damaged]) == {}


def test_the_kit_knows_sensitive_fields_without_a_key() -> None:
    given = kit(domain)
    ada = GuestRegistered(guest="ada", name="Ada")
    given(ada).sees(guest.at("ada"), Guest("Ada"))
    given(forgotten(ada)).sees(guest.at("ada"), Guest(FORGOTTEN))
    then = given(forgotten(ada)).when(Greet(guest="ada")).decision
    assert str(then) == f"Accepted(events=(GuestGreeted(guest='ada', words='Hello {FORGOTTEN}'),))"
    with pytest.raises(TypeError, match="GuestGreeted has none"):
        forgotten(GuestGreeted(guest="ada", words=""))
