"""The mark of a personal field: the subject that it belongs to, and its replacement once that person is forgotten."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from eventstore import Event, InvalidEvent, Subject
from handlers.comparison import same
from handlers.contained import Contained

__all__ = ["Sensitive", "SensitiveField", "marked", "sensitive_fields", "sensitive_problems"]

# The types that can name a subject: each value has one text.
_NAMING = (str, int, UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitive:
    """Marks a personal field of an event, which is recorded sealed.

    ::

        class ReaderRegistered(DomainEvent):
            reader_id: str = Field(alias="ReaderID")
            name: Annotated[str, Sensitive(subject="ReaderID", replacement="(forgotten)")] = Field(alias="Name")

    A field of a command may be marked as well: then the affinity must not use it.

    Attributes:
        subject: The JSON name of the field of the same event that names the subject: a str, int or UUID. Do not rename
            it as long as events are sealed.
        replacement: The value that the field reads as once the subject is forgotten, and wherever it is not opened. It
            is a valid Python value of the field.
    """

    subject: str
    replacement: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitiveField:
    """A marked field of an event.

    Attributes:
        name: The field's JSON name.
        subject: The JSON name of the field that names the subject.
        replacement: The value that is recorded in its place, as JSON.
    """

    name: str
    subject: str
    replacement: Any

    def subject_of(self, payload: Mapping[str, Any]) -> Subject:
        """Return the subject that a payload names for the field.

        Raises:
            InvalidEvent: The payload names no subject.
        """
        value = payload.get(self.subject)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise InvalidEvent(
                f"{self.name} belongs to the person that {self.subject} names, and {value!r} names no person; no key "
                "can be made for it"
            )
        return Subject(self.subject, str(value))


def marked(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo, Sensitive]]:
    """Iterate over a model's marked fields: JSON name, field, mark."""
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Sensitive):
                yield field.serialization_alias or name, field, mark


def sensitive_fields(model: type[BaseModel]) -> tuple[SensitiveField, ...]:
    """Return a model's marked fields; ``sensitive_problems`` must have found no fault in them."""
    return tuple(
        SensitiveField(name=name, subject=mark.subject, replacement=_as_json(mark.replacement, field))
        for name, field, mark in marked(model)
    )


def sensitive_problems(model: type[BaseModel]) -> Iterator[str]:
    """Iterate over the faults of an event's marks, each as the end of a sentence."""
    fields = {field.serialization_alias or name: field for name, field in model.model_fields.items()}
    names = {name for name, _, _ in marked(model)}
    for name, field, mark in marked(model):
        if mark.subject not in fields:
            yield (
                f"its Sensitive field {name} belongs to the person that {mark.subject!r} names, which is not one of "
                "its fields"
            )
        elif mark.subject in names:
            yield (
                f"its Sensitive field {name} belongs to the person that {mark.subject} names, which is Sensitive itself"
            )
        elif not _may_name(fields[mark.subject]):
            yield (
                f"its Sensitive field {name} belongs to the person that {mark.subject} names, which is not a str, int "
                "or UUID that each event has"
            )
        try:
            with Contained():
                written = _as_json(mark.replacement, field)
                again = _adapter(field).validate_python(written)
                is_same = same(_adapter(field).validate_python(mark.replacement), again)
        except Exception as error:  # noqa: BLE001  a validator of the domain may raise anything
            yield f"its Sensitive field {name} cannot be replaced by {mark.replacement!r}: {_first_line(error)}"
        else:
            if not is_same:
                yield f"its Sensitive field {name} is replaced by {mark.replacement!r}, which reads as {again!r}"
    for inner in _inner_models(model):
        for name, _, _ in marked(inner):
            yield f"{name} of {inner.__name__} inside it is Sensitive; mark the event's own field that holds it"


def _may_name(field: FieldInfo) -> bool:
    kind = field.annotation
    is_plain = isinstance(kind, type) and issubclass(kind, _NAMING) and not issubclass(kind, bool | Enum)
    return is_plain and field.is_required()


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    rest = tuple(each for each in field.metadata if not isinstance(each, Sensitive))
    # With its constraints and validators, which the annotation alone lacks.
    kind: Any = Annotated[(field.annotation, *rest)] if rest else field.annotation
    return TypeAdapter(kind)


def _as_json(value: Any, field: FieldInfo) -> Any:
    """Return a value of a field in its payload form."""
    adapter = _adapter(field)
    dumped = adapter.dump_python(adapter.validate_python(value))
    return Event(type="replacement", payload={"value": dumped}).recorded(1, 0).payload["value"]


def _inner_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    seen: set[Any] = {model}
    waiting: list[Any] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in seen:
                seen.add(kind)
                yield kind
                waiting.extend(field.annotation for field in kind.model_fields.values())
        else:
            waiting.extend(get_args(kind))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).replace("\n", " ")
