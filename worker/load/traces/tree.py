"""The trace tree: one command's trace, from the publisher to the append, for a terminal."""

from collections import defaultdict
from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from worker.load.figures import duration
from worker.load.traces.spans import Span, SpanEvent

__all__ = ["trace_tree"]

# The attributes that are shown for a span, in this order.
_TELLING = {
    "command.type": "",
    "command.outcome": "",
    "command.reason": "because ",
    "command.attempts": "attempts ",
    "command.attempt": "number ",
    "command.decision": "",
    "eventstore.events": "events ",
    "eventstore.position": "position ",
}


def trace_tree(spans: Sequence[Span]) -> Tree:
    """Return a trace as a tree.

    Args:
        spans: All of its spans, in the order in which they started; at least one. A span whose parent is not among them
            is a root.
    """
    known = {span.span_id for span in spans}
    children: defaultdict[bytes, list[Span]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else b""].append(span)
    began = spans[0].start
    root = Tree("", hide_root=True, guide_style="dim")

    def grow(branch: Tree, parent: bytes) -> None:
        for span in children[parent]:
            grown = branch.add(_label(span, began))
            for happening in span.happenings:
                grown.add(_happening(happening))
            grow(grown, span.span_id)

    grow(root, b"")
    return root


def _label(span: Span, began: float) -> Text:
    label = Text(span.name, style="bold")
    label.append(f"  {duration(span.seconds)}", style="cyan")
    label.append(f" at {duration(span.start - began)} in {span.process}", style="dim")
    told = [f"{words}{span.attributes[name]}" for name, words in _TELLING.items() if name in span.attributes]
    if "eventstore.replica" in span.attributes:
        told.append("on the replica" if span.attributes["eventstore.replica"] else "on the primary")
    if told:
        label.append("  " + ", ".join(told), style="not bold")
    return label


def _happening(happening: SpanEvent) -> Text:
    attributes = happening.attributes
    if happening.name == "conflict" and "conflict.sequence_number" in attributes:
        event = f"event {attributes['conflict.sequence_number']} ({attributes['conflict.event_type']})"
        server = "replica" if attributes.get("conflict.read_on_replica") else "primary"
        position = attributes["conflict.read_position"]
        return Text(f"conflict: {event} came after position {position}, where the {server} was read", style="yellow")
    told = ", ".join(f"{name} {value}" for name, value in attributes.items())
    return Text(f"{happening.name}: {told}" if told else happening.name, style="yellow")
