"""What the library does by itself."""

from handlers.library import domain
from handlers.library.events import ReaderContractCanceled, ReaderRegistered
from handlers.library.reactions import release
from handlers.library.release_reservations import ReleaseReservations
from handlers.testing import kit

given = kit(domain)


def test_a_cancelled_contract_releases_the_readers_reservations() -> None:
    given(ReaderRegistered(reader_id="ada", name="Ada"), ReaderContractCanceled(reader_id="ada")).sends(
        release, [ReleaseReservations(reader_id="ada")]
    )
