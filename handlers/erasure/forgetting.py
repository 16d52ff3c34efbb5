"""The event that records a forgotten subject, and the view that every decision with sealed events reads."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import SUBJECT_FORGOTTEN, Filter, Subject, forgetting_of
from handlers.erasure.master_key import DataKey
from handlers.model import DomainEvent
from handlers.part import Part
from handlers.view import View

__all__ = ["Sealer", "SubjectForgotten", "sealer", "subject_of"]


class SubjectForgotten(DomainEvent):
    """A subject was forgotten: from now on, its sealed values read as their replacements.

    ``worker db forget`` records it. A view gets it if its filter matches it; no view needs to.
    """

    field: str = Field(alias="SubjectField")
    subject: str = Field(alias="Subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """The state of a subject's sealer: the key that seals the subject's values.

    Attributes:
        key: The key, looked up after the whole log up to the state's position was read; None until then.
    """

    key: DataKey | None = None


def _events(field: str, value: str) -> Filter:
    return Filter((forgetting_of(Subject(field, value)),))


# Its state is kept like any other. Only the part reader puts the key into it, looked up after the read. An append from
# the state's position conflicts if the subject was forgotten above it, whether before or after the key was looked up.
sealer = View(
    name="subject-sealer", events=_events, initial=lambda _, __: Sealer(), evolve=lambda _, __: Sealer(), version=1
)


def subject_of(part: Part[object]) -> Subject | None:
    """Return the subject whose sealer a part is; None for any other part."""
    if part.view is not sealer:
        return None
    field, value = part.key
    return Subject(str(field), str(value))


if SubjectForgotten.__name__ != SUBJECT_FORGOTTEN:
    raise RuntimeError("an event is known by its class's name")
