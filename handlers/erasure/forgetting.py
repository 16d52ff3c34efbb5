"""What records that a subject was forgotten, as domains know it, and the view that every sealing decision reads."""

from dataclasses import dataclass

from pydantic import Field

from eventstore import SUBJECT_FORGOTTEN, Filter, Subject, forgetting_of
from handlers.erasure.master_key import DataKey
from handlers.model import DomainEvent
from handlers.part import Part
from handlers.view import View

__all__ = ["Sealer", "SubjectForgotten", "sealer", "subject_of"]


class SubjectForgotten(DomainEvent):
    """A subject was forgotten: what was sealed for it before reads as its replacement from now on.

    ``worker db forget`` records it. A view sees it if its filter holds it; no view needs to.
    """

    field: str = Field(alias="SubjectField")
    subject: str = Field(alias="Subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """What a subject's values are sealed by.

    Attributes:
        key: The key, asked for after all of the log up to the state's position was seen; None until then.
    """

    key: DataKey | None = None


def _events(field: str, value: str) -> Filter:
    return Filter((forgetting_of(Subject(field, value)),))


# Its state is kept like any other. Only the reader of parts gives it the key, which it asks for after the read. Whoever
# appends from the state's position is refused if the subject was forgotten above it, be it before the key was asked for
# or after.
sealer = View(
    name="subject-sealer", events=_events, initial=lambda _, __: Sealer(), evolve=lambda _, __: Sealer(), version=1
)


def subject_of(part: Part[object]) -> Subject | None:
    """Return whose sealer a part is; None if it is another part."""
    if part.view is not sealer:
        return None
    field, value = part.key
    return Subject(str(field), str(value))


if SubjectForgotten.__name__ != SUBJECT_FORGOTTEN:
    raise RuntimeError("an event is known by its class's name")
