"""Complaints: what pydantic has against a value, as one sentence. Values are left out: they may be long, or secret."""

import inspect
from traceback import walk_tb

from pydantic import BaseModel, ValidationError

__all__ = ["complaint_of", "raised_by_check", "text_of"]


def complaint_of(error: ValidationError) -> str:
    """Say what is wrong with which field."""
    return "; ".join(
        _problem(problem["type"], ".".join(map(str, problem["loc"])), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )


def text_of(failure: BaseException) -> str:
    """Return what a failure says; of one of pydantic's, which spreads over lines, what is wrong with which field."""
    return f"{failure.title}: {complaint_of(failure)}" if isinstance(failure, ValidationError) else str(failure)


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
