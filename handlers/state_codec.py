"""The state codec: writes a view's state as JSON and reads it back, or reports that it cannot."""

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
    """Writes and reads the states of one view, whose type is the declared return type of ``evolve`` or ``initial``.

    Args:
        view: The view.
        recorded: Converts a recorded event into the domain's class.

    Raises:
        InvalidView: The type is not declared, pydantic cannot write it, or the state before any event does not read
            back as it was written.
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
        except BaseException:  # noqa: BLE001  there is no sample, or the domain's code did not expect it
            return
        if self.write(part, initial, None) is None:
            raise InvalidView(
                f"states of the view {view.name} are to be stored, but {initial!r} is not read back as it was written"
            )

    def write(self, part: Part[S], state: S, probe: RecordedEvent | None) -> bytes | None:
        """Return a state as JSON text in UTF-8.

        Args:
            part: The part that has the state.
            state: The state.
            probe: An event of the part, or None. The state that is read back must fold it to the same result. The state
                may include the event already: if ``evolve`` then raises, it must raise the same error for both.

        Returns:
            The text; None if the state that is read back differs in value or in any type within it, or folds the probe
            to another result.
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
        except BaseException:  # noqa: BLE001  the domain's code or pydantic may raise anything
            return None
        return text

    def read(self, text: bytes) -> S:
        """Return the state from its text.

        Raises:
            DamagedState: The text cannot be read as a state of the view.
        """
        try:
            state: S = self._adapter.validate_json(text)
        except ValidationError as error:
            raise DamagedState(f"it cannot be read: {error.error_count()} errors") from None
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # a validator of the domain may raise anything
            raise DamagedState(f"it cannot be read: {type(bug).__name__}: {bug}") from bug
        return state

    def _folded(self, state: S, fact: DomainEvent) -> tuple[Any, ...]:
        """Return the state after one more event, or the type and text of the error that ``evolve`` raises."""
        try:
            return (self._evolve(state, fact),)
        except KeyboardInterrupt:
            raise
        except BaseException as bug:  # noqa: BLE001  evolve may raise anything
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
