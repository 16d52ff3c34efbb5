"""Older events: whether a filter finds events that were recorded before an event was renamed or changed.

A filter sees recorded events, before any upcaster. Events that it misses are missing from every decision.
"""

from collections.abc import Iterator, Mapping

from eventstore import Filter, FilterItem
from handlers.event_versions import Lineage

__all__ = ["OlderEvents"]


class OlderEvents:
    """The older versions of a domain's events.

    Args:
        lineages: The lineages of events that have changed, by every present and former name.
    """

    def __init__(self, lineages: Mapping[str, Lineage]) -> None:
        self._lineages = lineages
        self._each = tuple({id(lineage): lineage for lineage in lineages.values()}.values())

    def problems(self, asked: Filter) -> Iterator[str]:
        """Iterate over the older events that a filter would miss, each as the end of a sentence."""
        if self._each:
            for item in asked.items:
                yield from self._problems_of(item)

    def _problems_of(self, item: FilterItem) -> Iterator[str]:
        types = item.event_types
        concerned = self._each
        if types:
            concerned = tuple({id(found): found for name in types if (found := self._lineages.get(name))}.values())
        for lineage in concerned:
            if types and (missing := sorted(lineage.names.difference(types))):
                named = next(name for name in types if name in lineage.names)
                yield (
                    f"names the event type {named} and not {', '.join(missing)}, as events of it are called in other "
                    "versions: it would miss them; name all of them"
                )
            changes = lineage.changes
            for predicate in item.predicates:
                if (version := changes.get(predicate.key)) is not None:
                    until = "version 1" if version == 1 else f"versions 1 to {version}"
                    yield (
                        f"asks {lineage.name} for the field {predicate.key!r}, which an upcaster changes: it would not "
                        f"find the events of {until} as they are read; ask for a field that none changes, and keep a "
                        "field's JSON name when its name in Python changes"
                    )
