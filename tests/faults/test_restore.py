"""A database that is lost, and its backup, restored into new servers as documented."""

import asyncio
import random
from pathlib import Path
from uuid import UUID

from deploy.local.postgres import DATABASE
from deploy.local.stack import LocalStack
from eventstore.postgres import migrate, survey
from tests.faults.conftest import Settle
from tests.faults.load import UNDER_WAY
from tests.faults.size import Size
from tests.faults.trial import Servers, Trial, settled
from tests.support.restoring import documented, run

# The number of answers between the backup and the loss. Commands in flight may have been recorded before the backup.
_SINCE = 2 * UNDER_WAY
_RESTORED = "restored"


async def test_a_backup_is_restored_into_new_servers(vhost: str, tmp_path: Path, settle: Settle) -> None:
    with LocalStack(replicas=0, broker=False) as lost, LocalStack(replicas=0, broker=False) as new:
        old, anew = lost.primary, new.primary
        await migrate(old.url(old.admin))
        servers = Servers(database_url=old.url(old.worker, DATABASE), amqp_url=vhost)
        size = Size.chosen(short_blows=1, most_blows=1)
        async with Trial.of("database lost, backup restored into new servers", servers, tmp_path, size) as trial:
            sent = set[UUID]()

            async def lose_and_restore(_: random.Random) -> None:
                dump = tmp_path / "events.sql"
                assert await run("pg_dump", f"--file={dump}", old.url(old.admin, DATABASE)) == 0
                trial.load.allow(_SINCE)
                await trial.load.reach(len(trial.load.answered) + _SINCE)
                await asyncio.to_thread(old.kill)
                sent.update(trial.load.commands)
                await trial.stop_workers()
                # The new server has the roles already; publishers go on.
                for program, *arguments in documented()[0]:
                    assert await run(program, *arguments, at=anew.url(anew.admin), folder=tmp_path) == 0
                found = await survey(anew.url(anew.admin, _RESTORED))
                assert (found.guarded, found.wholeness.complaint) == (True, None)
                await trial.move(anew.url(anew.worker, _RESTORED))

            await trial.inject(lose_and_restore)
            # Answered after the backup: their publishers find no receipt and send them again.
            missing = trial.load.answered - await settled(trial.servers.database_url)
            assert missing <= sent
            assert len(missing) >= _SINCE - UNDER_WAY
            await trial.repeat_lost(missing)
            settle(await trial.audit())
