import asyncio

import pytest

from eventstore import StoreUnavailable
from worker.reading_store import first_that_answers
from worker.stores import StoreSettings

PRIMARY, SILENT, REPLICA = (f"postgresql://a:b@{name}/events" for name in ("primary", "silent", "replica"))
STORE = StoreSettings(domains=("tally",), database_url=PRIMARY, database_replica_urls=(SILENT, REPLICA))


@pytest.mark.parametrize("silent", [{PRIMARY, SILENT}, {SILENT}])
async def test_silent_servers_keep_nobody_from_the_answer_of_another(
    silent: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[str] = []

    async def ask(url: str, writable: bool) -> str:  # noqa: FBT001  as it is called
        if writable:
            raise StoreUnavailable("the primary did not answer")
        if url in silent:
            try:
                await asyncio.Event().wait()
            finally:
                left.append(url)
        if url == PRIMARY:
            raise StoreUnavailable("refused")
        return url

    async with asyncio.timeout(30):
        assert await first_that_answers(STORE, ask) == REPLICA
    assert set(left) == silent
    assert capsys.readouterr().err == "the primary did not answer; read from replica/events, which may lag.\n"


async def test_where_none_answers_the_primarys_failure_is_told() -> None:
    async def ask(url: str, writable: bool) -> str:  # noqa: FBT001  as it is called
        raise StoreUnavailable(f"{url} {writable}")

    with pytest.raises(StoreUnavailable, match=f"{PRIMARY} True"):
        await first_that_answers(STORE, ask)
