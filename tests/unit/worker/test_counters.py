from worker.counters import Counters, End


def test_every_delivery_is_accounted_for() -> None:
    counters = Counters()
    for _ in range(10):
        counters.begin()
    for end in End:
        counters.end(end)
    assert counters.in_flight == 2
    assert counters.balanced
    report = counters.report()
    assert report["received"] == sum(report[end] for end in End) + report["in_flight"]


def test_the_summary_names_nonzero_counters() -> None:
    counters = Counters()
    assert counters.told() == "no delivery came in"
    for _ in range(1003):
        counters.begin()
    for end in (*[End.ACCEPTED] * 1000, End.DEAD_LETTERED):
        counters.end(end)
    assert counters.told() == "1,003 deliveries: 1,000 accepted, 1 dead-lettered, 2 not finished"
    counters.attempts, counters.conflicts, counters.stale_conflicts, counters.failed_replies = 1004, 3, 1, 1
    assert counters.told().partition("; ")[2] == (
        "1,004 decisions, 3 conflicts (1 after reading a replica), 1 reply not sent"
    )


def test_a_delivery_that_ends_twice_is_detected() -> None:
    counters = Counters()
    counters.begin()
    counters.end(End.ACCEPTED)
    counters.end(End.DUPLICATE)
    assert not counters.balanced
