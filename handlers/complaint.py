"""Complaints: errors of pydantic or of a domain's code, as one sentence.

Values in pydantic's errors are left out: they may be long or secret.
"""

import inspect
from collections.abc import Iterator
from traceback import walk_tb

from pydantic import BaseModel, ValidationError

from handlers.model import Command, DomainEvent
from handlers.place import raised_at

__all__ = ["complaint_of", "fields_of", "headline_of", "raised_by_check", "text_of"]


def complaint_of(error: ValidationError) -> str:
    """Return which fields are wrong, and why."""
    return "; ".join(
        _problem(problem["type"], ".".join(map(str, problem["loc"])), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def text_of(failure: BaseException) -> str:
    """Return the text of an error on one line; for an error of pydantic, which fields are wrong and why."""
    if isinstance(failure, ValidationError):
        return f"{failure.title}: {complaint_of(failure)}"
    return " ".join(line.strip() for line in str(failure).splitlines() if line.strip())


def headline_of(failure: BaseException) -> str:
    """Return the type of an error, and the line of the domain's own code that raised it, if there is one."""
    place = raised_at(failure)
    return type(failure).__name__ + (f" in {place[0]} ({place[1]})" if place is not None else "")


def fields_of(failure: BaseException) -> str:
    """Return the fields of a command or event that an error of pydantic concerns, without their values.

    Returns:
        Names such as ``Joined.member``, separated by commas; an empty string if they are unknown.
    """
    if not isinstance(failure, ValidationError):
        return ""
    model = next((each for each in _models(Command, DomainEvent) if each.__name__ == failure.title), None)
    if model is None:
        return ""
    known = {name for field, its in model.model_fields.items() for name in (field, its.alias)}
    # At deeper levels, a location may be a key of the field's value.
    places = (problem["loc"][:1] for problem in failure.errors(include_url=False, include_input=False))
    named = (place[0] for place in places if place and place[0] in known)
    return ", ".join(dict.fromkeys(f"{failure.title}.{name}" for name in named))


def _models(*bases: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for base in bases:
        for model in base.__subclasses__():
            yield model
            yield from _models(model)


def _problem(kind: str, where: str, message: str) -> str:
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is not a field of it"
    text = message.removeprefix("Value error, ").rstrip(".")
    text = text[:1].lower() + text[1:]
    # The message of a check on the whole model needs no field name.
    return f"{where}: {text}" if where else text


def raised_by_check(model: type[BaseModel], bug: BaseException) -> str:
    """Return what a check raised, and for which field, if it is one of the model's own validators."""
    checks = {
        getattr(inspect.unwrap(validator.func), "__code__", None): validator.info.fields
        for validator in model.__pydantic_decorators__.field_validators.values()
    }
    raising = (frame.f_code for frame, _ in walk_tb(bug.__traceback__))
    names = next((fields for code in raising if (fields := checks.get(code))), ())
    where = ", ".join(model.model_fields[name].alias or name for name in names if name in model.model_fields)
    text = f": {bug}" if str(bug) else ""
    return f"{where + ': ' if where else ''}a check of it raised {type(bug).__name__}{text}"
