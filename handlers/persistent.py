"""Persistent collections: immutable, with cheap changes. For the states of views that hold many items.

A dict would have to be copied for each event, which makes a fold quadratic; these share all unchanged items.
"""

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, final, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from rpds import HashTrieMap, HashTrieSet

__all__ = ["PersistentMap", "PersistentSet"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


@final
class PersistentMap(Mapping[K, V]):
    """An immutable mapping. A change takes logarithmic time and returns a new mapping; items have no order.

    As the type of a model's field or a view's state, it is written as a JSON object and reads back as a mapping of its
    own class.

    Args:
        items: The initial items; by default none.
    """

    __slots__ = ("_trie",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._trie: HashTrieMap[K, V] = HashTrieMap(items)

    def insert(self, key: K, value: V) -> "PersistentMap[K, V]":
        """Return a mapping with this item added or replaced."""
        return self._of(self._trie.insert(key, value))

    def discard(self, key: K) -> "PersistentMap[K, V]":
        """Return a mapping without this key; the mapping itself if it lacks the key."""
        return self._of(self._trie.discard(key)) if key in self._trie else self

    def items(self) -> ItemsView[K, V]:
        """Return a view of the items."""
        return self._trie.items()

    def __getitem__(self, key: K) -> V:
        return self._trie[key]

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def __iter__(self) -> Iterator[K]:
        return iter(self._trie)

    def __len__(self) -> int:
        return len(self._trie)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PersistentMap):
            return bool(self._trie == other._trie)
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self._trie)

    def __repr__(self) -> str:
        return f"PersistentMap({dict(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PersistentMap, (_plain_map(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        key, value = get_args(source) or (Any, Any)
        return _schema(cls, handler.generate_schema(dict[key, value]), _plain_map)  # type: ignore[valid-type]  # at run time

    @staticmethod
    def _of(trie: "HashTrieMap[K, V]") -> "PersistentMap[K, V]":
        made = PersistentMap.__new__(PersistentMap)
        made._trie = trie  # noqa: SLF001  its own class
        return made


@final
class PersistentSet(AbstractSet[T]):
    """An immutable set. A change takes logarithmic time and returns a new set; members have no order.

    As the type of a model's field or a view's state, it is written as a JSON array and reads back as a set of its own
    class.

    Args:
        members: The initial members; by default none.
    """

    __slots__ = ("_trie",)

    def __init__(self, members: Iterable[T] = ()) -> None:
        self._trie: HashTrieSet[T] = HashTrieSet(members)

    def insert(self, member: T) -> "PersistentSet[T]":
        """Return a set with this member."""
        return self if member in self._trie else self._of(self._trie.insert(member))

    def discard(self, member: T) -> "PersistentSet[T]":
        """Return a set without this member; the set itself if it lacks the member."""
        return self._of(self._trie.discard(member)) if member in self._trie else self

    def __contains__(self, member: object) -> bool:
        return member in self._trie

    def __iter__(self) -> Iterator[T]:
        return iter(self._trie)

    def __len__(self) -> int:
        return len(self._trie)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PersistentSet):
            return bool(self._trie == other._trie)
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self._trie)

    def __repr__(self) -> str:
        return f"PersistentSet({list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PersistentSet, (list(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (member,) = get_args(source) or (Any,)
        return _schema(cls, handler.generate_schema(list[member]), list)  # type: ignore[valid-type]  # at run time

    @staticmethod
    def _of(trie: "HashTrieSet[T]") -> "PersistentSet[T]":
        made = PersistentSet.__new__(PersistentSet)
        made._trie = trie  # noqa: SLF001  its own class
        return made


def _plain_map(held: PersistentMap[K, V]) -> dict[K, V]:
    # Not dict(held), which would look up each key.
    return dict(held.items())


def _schema(kind: type, plain: CoreSchema, plainly: Callable[[Any], Any]) -> CoreSchema:
    made = core_schema.no_info_after_validator_function(kind, plain)
    return core_schema.json_or_python_schema(
        json_schema=made,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(kind), made]),
        serialization=core_schema.plain_serializer_function_ser_schema(plainly, return_schema=plain),
    )
