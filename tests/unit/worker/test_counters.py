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


def test_a_delivery_that_ends_twice_shows() -> None:
    counters = Counters()
    counters.begin()
    counters.end(End.ACCEPTED)
    counters.end(End.DUPLICATE)
    assert not counters.balanced
