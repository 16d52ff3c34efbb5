"""Complaints: what pydantic, or a domain's code, has against a value, as one sentence.

Of pydantic's, values are left out: they may be long, or secret.
"""

import inspect
from collections.abc import Iterator
from traceback import walk_tb

from pydantic import BaseModel, ValidationError

from handlers.model import Command, DomainEvent
from handlers.place import raised_at

__all__ = ["complaint_of", "fields_of", "headline_of", "raised_by_check", "text_of"]


def complaint_of(error: ValidationError) -> str:
    """Say what is wrong with which field."""
    return "; ".join(
        _problem(problem["type"], ".".join(map(str, problem["loc"])), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def text_of(failure: BaseException) -> str:
    """Return what a failure says, in one line; of one of pydantic's, what is wrong with which field."""
    if isinstance(failure, ValidationError):
        return f"{failure.title}: {complaint_of(failure)}"
    return " ".join(line.strip() for line in str(failure).splitlines() if line.strip())


def headline_of(failure: BaseException) -> str:
    """Say what kind of failure it is, and which line of a domain's own code led to it, if one did."""
    place = raised_at(failure)
    return type(failure).__name__ + (f" in {place[0]} ({place[1]})" if place is not None else "")


def fields_of(failure: BaseException) -> str:
    """Name the fields of a command or an event that a failure of pydantic's is about, and nothing that they hold.

    Returns:
        Names such as ``Joined.member``, separated by commas; an empty text where it cannot be told.
    """
    if not isinstance(failure, ValidationError):
        return ""
    model = next((each for each in _models(Command, DomainEvent) if each.__name__ == failure.title), None)
    if model is None:
        return ""
    known = {name for field, its in model.model_fields.items() for name in (field, its.alias)}
    # Further in, a place may be a key of what the field holds.
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
    # What a check of several fields says stands for itself.
    return f"{where}: {text}" if where else text


def raised_by_check(model: type[BaseModel], bug: BaseException) -> str:
    """Say what a check raised, and of which field, where the model's own validators tell."""
    checks = {
        getattr(inspect.unwrap(validator.func), "__code__", None): validator.info.fields
        for validator in model.__pydantic_decorators__.field_validators.values()
    }
    raising = (frame.f_code for frame, _ in walk_tb(bug.__traceback__))
    names = next((fields for code in raising if (fields := checks.get(code))), ())
    where = ", ".join(model.model_fields[name].alias or name for name in names if name in model.model_fields)
    text = f": {bug}" if str(bug) else ""
    return f"{where + ': ' if where else ''}a check of it raised {type(bug).__name__}{text}"
