"""PromQL: the series that an expression selects, and the labels of its result.

An expression may group or match by a label that does not exist: Prometheus silently takes it for empty. Here it is an
error.
"""

import re
from collections.abc import Iterator, Mapping

import promql_parser as promql

_SETS = ("and", "or", "unless")
_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")


class LabelMissing(Exception):
    """Raised by ``labels``: the label would always be empty; the text names it and its series."""


def parsed(text: str) -> promql.Expr:
    """Parse an expression; Grafana's variables in it are replaced."""
    return promql.parse(text.replace("$__rate_interval", "1m").replace("$__range", "1h"))


def selectors(expression: promql.Expr) -> Iterator[promql.VectorSelector]:
    """Every series that an expression selects."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for part in _parts(expression):
        yield from selectors(part)


def labels(expression: promql.Expr, series: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The labels of an expression's result.

    Args:
        expression: The expression.
        series: The existing series, each with its labels.

    Raises:
        LabelMissing: A selector, a grouping or a matching names a missing label.
        KeyError: A series does not exist.
    """
    match expression:
        case promql.VectorSelector():
            found = series[expression.name or ""]
            _require({matcher.name for matcher in expression.matchers.matchers}, found, expression.name)
            return found
        case promql.AggregateExpr():
            return _aggregated(expression, labels(expression.expr, series))
        case promql.BinaryExpr():
            return _combined(expression, series)
        case promql.Call():
            return _called(expression, series)
    # A wrapper around another expression, or a constant, which has no labels.
    return frozenset[str]().union(*(labels(part, series) for part in _parts(expression)))


def _parts(expression: promql.Expr) -> list[promql.Expr]:
    match expression:
        case promql.BinaryExpr():
            return [expression.lhs, expression.rhs]
        case promql.Call():
            return list(expression.args)
        case promql.MatrixSelector():
            return [expression.vector_selector]
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [expression.expr]
    return []


def _aggregated(expression: promql.AggregateExpr, inner: frozenset[str]) -> frozenset[str]:
    modifier = expression.modifier
    if modifier is None:
        return frozenset()
    named = frozenset(modifier.labels)
    _require(named, inner, expression)
    return named if modifier.type == promql.AggModifierType.By else inner - named


def _combined(expression: promql.BinaryExpr, series: Mapping[str, frozenset[str]]) -> frozenset[str]:
    left, right = labels(expression.lhs, series), labels(expression.rhs, series)
    operator = str(expression.op)
    if isinstance(expression.rhs, promql.NumberLiteral) or isinstance(expression.lhs, promql.NumberLiteral):
        return left | right
    matching = expression.modifier.matching if expression.modifier else None
    if matching is not None and matching.type == promql.LabelModifierType.Include:
        named = frozenset(matching.labels)
        _require(named, left, expression)
        _require(named, right, expression)
        return left if operator in _SETS + _COMPARISONS else named
    if operator == "or":
        return left | right
    # Without ``on`` or ``ignoring``, both sides must have the same labels, or no pair ever matches.
    if left != right:
        raise LabelMissing(f"{expression}: {sorted(left)} on one side, {sorted(right)} on the other")
    return left


def _called(expression: promql.Call, series: Mapping[str, frozenset[str]]) -> frozenset[str]:
    name = expression.func.name
    if name == "label_replace":
        vector, target, _, source, _ = expression.args
        found = labels(vector, series)
        _require({source.val}, found, expression)
        return found | {target.val}
    answers = [labels(argument, series) for argument in expression.args]
    if name in {"absent", "absent_over_time"}:
        return frozenset()
    found = frozenset[str]().union(*answers)
    if name == "histogram_quantile":
        _require({"le"}, found, expression)
        return found - {"le"}
    return found


def _require(named: set[str] | frozenset[str], found: frozenset[str], where: object) -> None:
    if missing := set(named) - found:
        raise LabelMissing(f"{where}: no label {', '.join(sorted(missing))} among {', '.join(sorted(found))}")


def named_labels(template: str) -> set[str]:
    """The labels that a Grafana legend or an alert's text fills in."""
    fields = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", template)) - {"else", "end"}
    return fields | set(re.findall(r"\$labels\.(\w+)", template))
