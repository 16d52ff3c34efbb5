from tests.faults.figures import Figures, recovery


def test_recovery_is_measured_from_the_end_of_each_blow() -> None:
    # Times of sending and settling; the first blow ends at 10, the second at 20.
    commands = [(1.0, 2.0), (9.0, 10.5), (9.5, 13.0), (12.0, 14.0), (19.0, 20.1), (21.0, 29.0)]
    first, last = recovery([10.0, 20.0], commands)
    assert (first, last) == (0.5, 3.0)


def test_a_blow_without_later_settlements_does_not_count() -> None:
    assert recovery([10.0], [(1.0, 2.0)]) == (0.0, 0.0)
    assert recovery([10.0], [(1.0, 2.0), (11.0, 12.0)]) == (2.0, 0.0)


def test_figures_survive_a_round_trip_through_json() -> None:
    figures = Figures(
        fault="cut",
        commands=25_000,
        blows=20,
        repeated=1,
        lost=0,
        doubled=0,
        wrong=2,
        dead=0,
        first=0.5,
        last=1.25,
        complaints=("two",),
    )
    assert Figures.from_json(figures.as_json()) == figures
    assert figures.sentence() == (
        "cut: commands 25,000, blows 20, sent again 1, lost 0, doubled 0, wrong 2, dead 0, first s 0.50, last s 1.25"
    )
