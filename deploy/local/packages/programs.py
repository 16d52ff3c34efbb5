"""Programs that run where they were unpacked: a script for each, which tells them where that is."""

import shutil
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.packages.recipe import ERLANG, Recipe

__all__ = ["FILES", "PROGRAMS", "write_programs"]

FILES, PROGRAMS = "files", "bin"
# By its own place, so that all of it can be moved. Programs of one package call each other by their names alone.
_START = f"""\
#!/bin/sh
# Runs a program of a package from where the package was unpacked.
here=$(CDPATH= cd -- "${{0%/*}}" && pwd -P) || exit 1
root="${{here%/*}}/{FILES}"
PATH="$here:$PATH"
export PATH
"""
# A library that is installed is found as ever; these are looked for first, and are those that are not.
_LIBRARIES = 'LD_LIBRARY_PATH="{folders}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\nexport LD_LIBRARY_PATH\n'
_RUN = 'exec "$root/{program}" "$@"\n'
# The package's own script has the place in it that it was made for, and whatever lies beside it calls that one.
_ERLANG = f"""\
ROOTDIR="$root/{ERLANG}"
for BINDIR in "$ROOTDIR"/erts-*/bin; do :; done
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" "$@"
"""
_ESCRIPT = 'ESCRIPT_EMULATOR="$here/erl"\nexport ESCRIPT_EMULATOR\n'


def write_programs(recipe: Recipe, place: Path) -> None:
    """Write a script for each program of a recipe.

    Args:
        recipe: Which programs.
        place: The folder whose ``files`` were unpacked; the scripts go to its ``bin``.

    Raises:
        StackError: The packages brought none of some programs.
    """
    files, scripts = place / FILES, place / PROGRAMS
    scripts.mkdir()
    start = _START
    folders = [folder.relative_to(files) for folder in _library_folders(files)]
    if folders:
        start += _LIBRARIES.format(folders=":".join(f"$root/{folder}" for folder in folders))
    for pattern in recipe.programs:
        found = [path for path in sorted(files.glob(pattern)) if shutil.which(path)]
        if not found:
            raise StackError(f"the package {recipe.package} brought no {pattern}")
        for path in found:
            script = scripts / path.name
            rest = _RUN.format(program=path.relative_to(files))
            match path.name:
                case "erl":
                    rest = _ERLANG
                case "escript":
                    rest = _ESCRIPT + rest
            script.write_text(start + rest, encoding="utf-8")
            script.chmod(0o755)


def _library_folders(files: Path) -> list[Path]:
    found = {path.parent for top in ("lib", "usr/lib") for path in files.glob(f"{top}/*-linux-gnu*/*.so*")}
    return sorted(found)
