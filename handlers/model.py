"""Commands and events: pydantic models whose class names are their names everywhere."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Command", "DomainEvent"]


class Command(BaseModel):
    """Base of a domain's commands. The class name is the command's name; fields may have JSON names of their own.

    Unknown fields are ignored: a newer publisher may send more than this program reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)


class DomainEvent(BaseModel):
    """Base of a domain's events. The class name is the event's type.

    Unknown fields are ignored: a newer worker may have recorded more than this program reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)
