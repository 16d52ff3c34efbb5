"""The names of our instruments in Prometheus."""

import pytest

from tests.unit.deploy.instruments import PREFIXES, Instrument, exported, exported_series


@pytest.mark.parametrize(
    ("kind", "unit", "names"),
    [
        ("counter", "{delivery}", {"a_b_total"}),
        ("counter", "s", {"a_b_seconds_total"}),
        ("up_down_counter", "{delivery}", {"a_b"}),
        ("gauge", "{event}", {"a_b"}),
        ("gauge", "1", {"a_b_ratio"}),
        ("up_down_counter", "1", {"a_b"}),
        ("histogram", "s", {"a_b_seconds_bucket", "a_b_seconds_sum", "a_b_seconds_count"}),
        ("histogram", "{request}", {"a_b_bucket", "a_b_sum", "a_b_count"}),
    ],
)
def test_names_follow_the_exporters_rules(kind: str, unit: str, names: set[str]) -> None:
    assert set(Instrument(name="a.b", kind=kind, unit=unit).series()) == names


def test_labels_are_the_processs_and_the_instruments() -> None:
    instrument = Instrument(name="a", kind="histogram", unit="s", attributes=frozenset({"error.type"}))
    assert instrument.series()["a_seconds_bucket"] == {"job", "instance", "error_type", "le"}
    assert instrument.series()["a_seconds_count"] == {"job", "instance", "error_type"}


def test_only_ratios_are_named_ratio() -> None:
    assert exported()
    assert not [name for name in exported_series() if name.endswith("_ratio")]


def test_no_two_instruments_share_a_name() -> None:
    names = [name for instrument in exported().values() for name in instrument.series()]
    assert len(names) == len(set(names))
    assert all(name.startswith(PREFIXES) for name in names)
