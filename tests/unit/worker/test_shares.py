from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.shares import largest_share, prefetch_of, share_of

NAMES = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=12)


@given(NAMES, st.integers(1, 40))
def test_each_shard_is_in_one_share_and_shares_are_balanced(names: set[str], shards: int) -> None:
    shares = {name: share_of(name, names, shards) for name in names}
    assert Counter(shard for share in shares.values() for shard in share) == Counter(range(shards))
    sizes = {len(share) for share in shares.values()}
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == largest_share(len(names), shards)


@given(NAMES, st.integers(1, 40))
def test_the_order_of_processes_does_not_matter(names: set[str], shards: int) -> None:
    for name in names:
        assert share_of(name, sorted(names), shards) == share_of(name, sorted(names, reverse=True), shards)


@pytest.mark.parametrize(("processes", "shards", "most"), [(1, 8, 8), (3, 8, 3), (4, 8, 2), (9, 8, 1)])
def test_no_process_has_more_than_its_share(processes: int, shards: int, most: int) -> None:
    assert largest_share(processes, shards) == most


@pytest.mark.parametrize(
    ("each", "prefetch", "most"),
    [(1, 128, 128), (2, 128, 128), (4, 128, 128), (8, 128, 64), (128, 128, 4), (128, 2, 1)],
)
def test_the_prefetch_of_one_shard_fills_rounds_and_the_total_is_bounded(each: int, prefetch: int, most: int) -> None:
    assert prefetch_of(each, prefetch) == most


def test_most_shards_stay_where_they_are_when_a_process_ends() -> None:
    names = {f"p{n}" for n in range(8)}
    moved = 0
    for gone in names:
        for name in names - {gone}:
            moved += len(set(share_of(name, names, 64)) - set(share_of(name, names - {gone}, 64)))
    # Of the 56 shards of the remaining processes; with shares as simple slices, nearly all would move.
    assert moved / len(names) < 56 / 3
