"""The state codec: writes a view's state as JSON and reads it back, or says that it cannot."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from eventstore import RecordedEvent
from handlers.checks.sample import sample_of
from handlers.comparison import Known, same
from handlers.declared import declared_return
from handlers.errors import DamagedState, InvalidView
from handlers.model import DomainEvent
from handlers.part import Part
from handlers.view import View

__all__ = ["StateCodec"]

S = TypeVar("S")


class StateCodec(Generic[S]):
    """Writes and reads the states of one view. Their type is what ``evolve`` is declared to return.

    Args:
        view: The view.
        recorded: How a recorded event is read.

    Raises:
        InvalidView: The type is not declared, pydantic cannot write it, or the state before any event is not read back
            as it was written.
    """

    def __init__(self, view: View[..., S], recorded: Callable[[RecordedEvent], DomainEvent]) -> None:
        self._recorded = recorded
        self._evolve: Callable[[Any, DomainEvent], Any] = view.evolve
        self._adapter: TypeAdapter[Any] = _adapter(view.name, _state_type(view))
        try:
            part = view.at(*map(sample_of, view.key))
            initial = part.initial()
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  no sample, or one that the domain's code did not expect
            return
        if self.write(part, initial, None) is None:
            raise InvalidView(
                f"states of the view {view.name} are to be stored, but {initial!r} is not read back as it was written"
            )

    def write(self, part: Part[S], state: S, probe: RecordedEvent | None) -> bytes | None:
        """Return a state as JSON text in UTF-8.

        Args:
            part: Whose state it is.
            state: The state.
            probe: An event of the part's, if there is one; the state that is read back must fold it to the same. It may
                be in the state already: an ``evolve`` that raises then must raise the same for both.

        Returns:
            The text; None when what is read back is not equal to the state, in value and in the types of all that it
            holds, or does not fold the probe to the same.
        """
        try:
            text = self._adapter.dump_json(state, warnings="error")
            again = self.read(text)
            known: Known = set()
            if not same(state, again, known):
                return None
            if probe is not None and part.filter.holds(probe):
                fact = self._recorded(probe)
                if not same(self._folded(state, fact), self._folded(again, fact), known):
                    return None
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  whatever code of the domain's, or pydantic, has against the state
            return None
        return text

    def read(self, text: bytes) -> S:
        """Return the state that was written.

        Raises:
            DamagedState: It cannot be read as a state of the view.
        """
        try:
            state: S = self._adapter.validate_json(text)
        except ValidationError as error:
            raise DamagedState(f"it cannot be read: {error.error_count()} errors") from None
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # whatever a validator of somebody's raises
            raise DamagedState(f"it cannot be read: {type(bug).__name__}: {bug}") from bug
        return state

    def _folded(self, state: S, fact: DomainEvent) -> tuple[Any, ...]:
        """Return the state after one more event, or what ``evolve`` raises: its type and text."""
        try:
            return (self._evolve(state, fact),)
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # noqa: BLE001  whatever evolve has against it
            return type(bug), str(bug)


def _adapter(view: str, kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except Exception as error:  # pydantic raises several
        reason = str(error).partition("\n")[0]
        raise InvalidView(
            f"states of the view {view} are to be stored, but pydantic cannot write a {_name(kind)}: {reason}"
        ) from error


def _state_type(view: View[..., Any]) -> Any:
    returned = declared_return(view.evolve) or declared_return(view.initial)
    if returned is None:
        raise InvalidView(
            f"states of the view {view.name} are to be stored, but neither evolve nor initial declares what it returns"
        )
    return returned


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", repr(kind))
