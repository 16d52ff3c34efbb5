"""Finds errors in queries that Prometheus would answer with nothing, or with too much."""

import pytest

from tests.unit.deploy.expressions import LabelMissing, labels, parsed, selectors

_SERIES = {"hits_total": frozenset({"job", "end"}), "hits_bucket": frozenset({"job", "le"}), "up": frozenset({"job"})}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hits_total", {"job", "end"}),
        ('sum by (end) (rate(hits_total{job="a"}[$__rate_interval]))', {"end"}),
        ("sum without (end) (hits_total)", {"job"}),
        ("sum(hits_total)", set()),
        ("histogram_quantile(0.99, sum by (le) (rate(hits_bucket[5m])))", set()),
        ('label_replace(up, "queue", "$1", "job", "(.+)")', {"job", "queue"}),
        ("sum by (job) (hits_total) / on (job) up", {"job"}),
        ("hits_total and on (job) (up > 0)", {"job", "end"}),
        ("max_over_time(up[10m:1m]) == 0 or absent(hits_total)", {"job"}),
    ],
)
def test_the_labels_of_a_result(text: str, found: set[str]) -> None:
    assert labels(parsed(text), _SERIES) == found


@pytest.mark.parametrize(
    "text",
    [
        'up{end="accepted"}',
        "sum by (end) (up)",
        "sum without (end) (up)",
        "hits_total / on (end) up",
        "histogram_quantile(0.99, sum by (job) (rate(hits_bucket[5m])))",
        'label_replace(up, "queue", "$1", "end", "(.+)")',
        "hits_total / up",
        "hits_total unless up",
    ],
)
def test_a_missing_label_is_found(text: str) -> None:
    with pytest.raises(LabelMissing):
        labels(parsed(text), _SERIES)


def test_a_missing_series_is_found() -> None:
    with pytest.raises(KeyError):
        labels(parsed("rate(hits[5m])"), _SERIES)


def test_every_series_is_found() -> None:
    expression = parsed("a / (b + rate(c[5m])) or sum by (x) (max_over_time(d[5m:1m])) unless -absent(e offset 5m)")
    assert [selector.name for selector in selectors(expression)] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("text", ["sum by (a (b)", "rate(a)", "a{b=c}", ""])
def test_an_invalid_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(text)
