"""The folder in the clone where fetched packages lie unpacked, for as long as anyone uses them."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.packages.apt import Apt, missing, unpack
from deploy.local.packages.programs import FILES, PROGRAMS, write_programs
from deploy.local.packages.recipe import Recipe

__all__ = ["Unpacked"]

_CLONE = Path(__file__).resolve().parents[3]
_PART = ".part-"
# A lock on what this process runs, as long as it lives: no other process removes the programs while servers run them.
_in_use: dict[Path, int] = {}


class Unpacked:
    """Packages that were fetched, each in a folder of its own, whole or not at all. Safe to use from several processes.

    Args:
        folder: Where; by default ``.packages`` in the clone.
        options: More options of apt's, as ``Name=value``.
    """

    def __init__(self, folder: Path = _CLONE / ".packages", *, options: Iterable[str] = ()) -> None:
        self.folder = folder
        self._options = tuple(options)

    def programs(self, recipe: Recipe) -> Path:
        """Return the folder with a recipe's programs, which are fetched if they are not there.

        They stay there until this process has ended.

        Raises:
            StackError: They cannot be fetched; the text is one sentence, and says what to do.
        """
        if " " in str(self.folder):
            raise StackError(
                f"{recipe.name} is not installed, and where it would be unpacked, {self.folder}, there is a space in "
                f"the path, with which it does not run: move the clone, or {_install(recipe)}."
            )
        return self._held(recipe) or self._fetched(recipe)

    def remove(self) -> bool:
        """Remove all programs that no process uses.

        Returns:
            Whether nothing is left.
        """
        try:
            with self._alone():
                for place in self.folder.iterdir():
                    if (descriptor := _locked(place, fcntl.LOCK_EX)) is not None:
                        shutil.rmtree(place)
                        os.close(descriptor)
                if any(self.folder.iterdir()):
                    return False
                self.folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            raise StackError(f"{self.folder} cannot be removed ({error.strerror}): remove it by hand.") from None
        return True

    def _held(self, recipe: Recipe) -> Path | None:
        """Return the programs if they are there, and keep them there."""
        place = self.folder / recipe.package
        if place not in _in_use:
            descriptor = _locked(place, fcntl.LOCK_SH)
            if descriptor is None:
                return None
            _in_use[place] = descriptor
        return place / PROGRAMS

    def _fetched(self, recipe: Recipe) -> Path:
        try:
            self.folder.mkdir(mode=0o755, exist_ok=True)
            with self._alone():
                # Another process may have fetched them while this one waited.
                if (found := self._held(recipe)) is not None:
                    return found
                for left in self.folder.glob(f"*{_PART}*"):
                    shutil.rmtree(left)
                self._fetch(recipe)
                found = self._held(recipe)
        except OSError as error:
            raise StackError(
                f"{recipe.name} is not installed, and could not be unpacked into {self.folder} "
                f"({error.strerror or error}): {_install(recipe)}."
            ) from None
        if found is None:
            raise StackError(f"{self.folder} was removed while {recipe.name} was fetched: start again.")
        return found

    def _fetch(self, recipe: Recipe) -> None:
        into = f"{self.folder.name}, without installing them"
        print(f"{recipe.name} is not installed: fetching its packages into {into} ...", flush=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{recipe.package}{_PART}", dir=self.folder))
        try:
            place, archives, apt = draft / "place", draft / "archives", draft / "apt"
            for folder in (place / FILES, archives, apt):
                folder.mkdir(parents=True)
            self._download(recipe, apt, archives)
            for archive in sorted(archives.glob("*.deb")):
                unpack(archive, place / FILES)
            write_programs(recipe, place)
            place.rename(self.folder / recipe.package)
        except StackError as error:
            raise StackError(
                f"{recipe.name} is not installed, and its packages cannot be fetched ({error}): "
                f"connect this machine to its package sources, or {_install(recipe)}."
            ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _download(self, recipe: Recipe, folder: Path, archives: Path) -> None:
        apt = Apt(folder, options=self._options)
        complaint = apt.update()
        try:
            plan = apt.plan(recipe.package)
        except StackError:
            # What apt then says is only that it does not know the package.
            if complaint:
                raise StackError(complaint) from None
            raise
        wanted = next(package for package in plan if package.name == recipe.package)
        if wanted.numbers < recipe.least:
            raise StackError(f"this machine's sources have {wanted.version}, and {recipe.least_version} is needed")
        apt.download(missing(plan, recipe.family), archives)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Fetch or remove while no other process does.

        Raises:
            FileNotFoundError: The folder is not there, or was removed by the one before.
        """
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is(descriptor, self.folder):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
            yield
        finally:
            os.close(descriptor)


def _install(recipe: Recipe) -> str:
    return f"have {recipe.package} installed (apt-get install {recipe.package})"


def _locked(place: Path, kind: int) -> int | None:
    """Lock a folder, and return what holds the lock; None where it is not there, or others use it."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if _is(descriptor, place):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _is(descriptor: int, place: Path) -> bool:
    """Tell whether an open folder is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False
