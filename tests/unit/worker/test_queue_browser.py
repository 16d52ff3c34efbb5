import pytest

from worker.amqp.queue_browser import next_width


@pytest.mark.parametrize(
    ("width", "largest", "following"),
    [
        (50, 0, 100),
        (50, 200, 100),
        (600, 200, 1000),
        (1000, 200, 1000),
        # However large letters are, those that are handed out ahead fit into 16 MiB, and one is always.
        (1000, 1024 * 1024, 16),
        (50, 2**30, 1),
        (1, 200, 2),
    ],
)
def test_small_letters_come_in_large_chunks_and_large_ones_in_small(width: int, largest: int, following: int) -> None:
    assert next_width(width, largest) == following
