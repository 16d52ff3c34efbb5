"""Keys of subjects: one each, kept as it was handed in, gone once the subject is forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from eventstore import (
    START,
    SUBJECT_FORGOTTEN,
    BoundaryPart,
    ConcurrencyConflict,
    EventStore,
    Filter,
    Forgetting,
    InvalidRequest,
    MemoryEventStore,
    StateKey,
    StoredState,
    Subject,
    SubjectKey,
    forgetting_of,
)
from eventstore.postgres import forget
from tests.support.facts import fact, log, positions
from tests.support.fixtures.databases import Database

ADA = Subject("ReaderID", "ada")
# Each is another one.
OTHERS = (
    Subject("ReaderID", "Ada"),
    Subject("readerid", "ada"),
    Subject("ReaderID", "ada ☕"),
    Subject("Staff", "ada"),
)
Forget = Callable[[Subject], Awaitable[Forgetting]]


@pytest.fixture
def forgets(store: EventStore, own_database: Database | None) -> Forget:
    """Forgets, as whoever may do that does it."""
    if isinstance(store, MemoryEventStore):
        return store.forget
    assert own_database is not None
    address, schema = own_database.admin_url, own_database.schema
    return lambda subject: forget(address, subject, schema=schema)


def key(subject: Subject = ADA, wrapped: bytes = b"\x00wrapped\xff") -> SubjectKey:
    return SubjectKey(id=uuid4(), subject=subject, wrapped=wrapped)


def state(subject: str, *, sensitive: bool) -> StoredState:
    name = StateKey(domain="d", view="v", version=1, key=subject, filter_digest=b"")
    return StoredState(key=name, position=START, state=b"{}", events=0, sensitive=sensitive)


async def test_a_key_is_kept_as_it_was_handed_in(store: EventStore) -> None:
    proposed = [key(subject) for subject in (ADA, *OTHERS)]
    made = await store.make_subject_keys(proposed)
    assert sorted(made, key=lambda each: each.id) == sorted(proposed, key=lambda each: each.id)
    assert await store.subject_keys([each.id for each in proposed]) == {each.id: each for each in proposed}


async def test_a_subject_keeps_its_first_key(store: EventStore) -> None:
    first, second = key(), key(wrapped=b"another")
    assert await store.make_subject_keys([first]) == [first]
    assert await store.make_subject_keys([second]) == [first]
    assert await store.subject_keys([first.id, second.id]) == {first.id: first}


async def test_of_several_that_make_a_key_at_once_all_get_the_same(store: EventStore) -> None:
    made = await asyncio.gather(*(store.make_subject_keys([key(), key(OTHERS[0])]) for _ in range(8)))
    assert len({each.id for found in made for each in found}) == 2


async def test_nothing_is_asked_for_nothing(store: EventStore) -> None:
    assert await store.make_subject_keys([]) == []
    assert await store.subject_keys([]) == {}
    assert await store.subject_keys([uuid4()]) == {}


@pytest.mark.parametrize("subject", [("", "ada"), ("ReaderID", ""), ("ReaderID", "a\x00"), ("ReaderID", "x" * 1001)])
def test_a_key_of_nobody_is_refused(subject: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="a subject is two texts"):
        key(Subject(*subject))


@pytest.mark.parametrize("wrapped", [b"", b"x" * 1001])
def test_a_key_that_no_row_has_room_for_is_refused(wrapped: bytes) -> None:
    with pytest.raises(InvalidRequest, match="1 to 1000 bytes"):
        key(wrapped=wrapped)


async def test_who_is_forgotten_has_no_key_and_that_is_on_record(store: EventStore, forgets: Forget) -> None:
    first, other = key(), key(OTHERS[0])
    await store.make_subject_keys([first, other])
    await store.append([fact()])
    assert await forgets(ADA) == Forgetting(number=2)
    assert await store.subject_keys([first.id, other.id]) == {other.id: other}
    event = (await log(store))[1]
    assert (event.type, event.payload) == (SUBJECT_FORGOTTEN, {"SubjectField": "ReaderID", "Subject": "ada"})
    assert (await store.append([fact()])).first == 3


async def test_to_forget_again_does_nothing(store: EventStore, forgets: Forget) -> None:
    assert await forgets(ADA) == Forgetting(number=None)
    await store.make_subject_keys([key()])
    assert await forgets(ADA) == Forgetting(number=1)
    assert await forgets(ADA) == Forgetting(number=None, before=1)
    again = key()
    assert await store.make_subject_keys([again]) == [again]
    assert await forgets(ADA) == Forgetting(number=2, before=1)
    assert len(await log(store)) == 2


async def test_the_states_that_may_show_it_go_with_the_key(store: EventStore, forgets: Forget) -> None:
    kept, gone = state("kept", sensitive=False), state("gone", sensitive=True)
    for each in (kept, gone):
        await store.store_state(each)
    await store.make_subject_keys([key()])
    assert (await forgets(ADA)).states == 1
    # What is stored late, from before.
    await store.store_state(gone)
    found = await store.stored_states([kept.key, gone.key])
    assert [each is not None for each in found] == [True, False]
    (*_, here) = await positions(store)
    await store.store_state(StoredState(key=gone.key, position=here, state=b"{}", events=0, sensitive=True))
    assert (await store.stored_states([gone.key]))[0] is not None


@pytest.mark.parametrize("whose", [None, ADA, OTHERS[0]])
async def test_an_append_is_refused_that_forgets_nobody_it_seals_for(
    store: EventStore, forgets: Forget, whose: Subject | None
) -> None:
    boundary = [BoundaryPart(filter=Filter((forgetting_of(whose),)))]
    await store.make_subject_keys([key(), key(OTHERS[0])])
    await store.append([fact()], boundary=boundary)
    await forgets(ADA)
    if whose == OTHERS[0]:
        await store.append([fact()], boundary=boundary)
        return
    with pytest.raises(ConcurrencyConflict) as refused:
        await store.append([fact()], boundary=boundary)
    assert (refused.value.sequence_number, refused.value.event_type) == (2, SUBJECT_FORGOTTEN)
