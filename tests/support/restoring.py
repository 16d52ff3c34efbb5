"""Backups of a database: PostgreSQL's programs, and the documented ways to restore."""

import asyncio
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.binaries import postgres_folder

__all__ = ["documented", "run"]

_ROOT = Path(__file__).parents[2]


async def run(program: str, *arguments: str, at: str = "", folder: Path | None = None) -> int:
    """Run one of PostgreSQL's programs, as the administrator of a server if one is given; return its exit status."""
    place = urlsplit(at)
    login = {
        "PGHOST": place.hostname or "",
        "PGPORT": str(place.port or ""),
        "PGUSER": place.username or "",
        "PGPASSWORD": place.password or "",
    }
    process = await asyncio.create_subprocess_exec(
        postgres_folder() / "bin" / program,
        *arguments,
        env={name: value for name, value in login.items() if value},
        cwd=folder,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


def documented() -> list[list[list[str]]]:
    """Return the documented ways to restore a dump, each as its commands."""
    text = (_ROOT / "docs" / "backup.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [[shlex.split(line) for line in block.splitlines()] for block in blocks]
