"""The folder in which all users of a machine meet: which one it is, and where things lie in it.

queue.lock  seq  id  queue/<priority>.<ticket>.<job>  gpu/<UUID>[.<slot>].lock  cpu/<n>.lock
live/<job>.sup  live/<job>.run
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.model.gpu_policy import MOST_SLOTS
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.safe_files import read_small

LEASE_DIR_ENV = "XRAY_TUI_LEASE_DIR"
SHARED = (Path("/run/lock/xray-tui"), Path("/var/tmp/xray-tui"))  # noqa: S108 - sticky, and meant to be shared

OPEN_TO_ALL = 0o1777
"""Everybody makes files of their own in it, nobody removes another's."""

ID = "id"

PARTS = ("queue", "gpu", "cpu", "live")

PRIVATE_NOTE = "no shared lease folder: jobs of other users cannot be seen"


@dataclass(frozen=True, slots=True)
class LeaseDir:
    """A usable lease folder; `note` says what its users should know."""

    path: Path
    note: str | None = None

    @property
    def lock(self) -> Path:
        """The file of the mutex."""
        return self.path / "queue.lock"

    @property
    def queue(self) -> Path:
        return self.path / "queue"

    @property
    def seq(self) -> Path:
        """Holds the number of the last ticket."""
        return self.path / "seq"

    def gpu(self, uuid: str) -> Path:
        return self.path / "gpu" / f"{uuid.replace('/', '_')}.lock"

    def slot(self, uuid: str, number: int) -> Path:
        """Held by one of the jobs that share the GPU; each of them holds the GPU's own lock with the others."""
        return self.path / "gpu" / f"{uuid.replace('/', '_')}.{number}.lock"

    def slots(self, uuid: str) -> list[Path]:
        """Every slot that a GPU may have."""
        return [self.slot(uuid, number) for number in range(MOST_SLOTS)]

    def cpu(self, slot: int) -> Path:
        return self.path / "cpu" / f"{slot}.lock"

    def supervised(self, job: str) -> Path:
        """Held as long as somebody looks after the job."""
        return self.path / "live" / f"{job}.sup"

    def runs(self, job: str) -> Path:
        """Held as long as its engine lives."""
        return self.path / "live" / f"{job}.run"

    def identity(self) -> str:
        """The random name that it was given when it was made: it tells the folder from a later one at the same path.

        Empty where it has none. Raises OSError where that cannot be told.
        """
        try:
            return clean(read_small(self.path / ID, 64).decode("ascii", "replace").strip())
        except FileNotFoundError:
            return ""

    @contextmanager
    def mutex(self, patience: float = 10.0) -> Iterator[None]:
        """The one mutex, under which tickets and locks change hands. Raises lease.Busy."""
        with file_lock.mutex(self.lock, patience):
            yield


def find_lease_dir(setting: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> LeaseDir:
    """The machine's lease folder, made where it is missing.

    The setting, else $XRAY_TUI_LEASE_DIR: raises BadInput where that cannot be used. Else the first shared one that
    is there, or else can be made, else a private one. Raises BadInput for one that is there and cannot be used.
    """
    if (given := _given(setting, environ)) is not None:
        origin, path = given
        if reason := _unusable(path, parents=True):
            raise BadInput(f"{origin}: {clean(str(path))}: {reason}; give a folder on a local disk")
        return LeaseDir(path, _age_cleaned(path))
    if (there := _shared_there()) is not None:  # others use it: in another one than theirs a GPU could be held twice
        if reason := _unusable(there, parents=False):
            raise BadInput(f"lease_dir: {clean(str(there))}: {reason}; put that right, or let all users set lease_dir")
        return LeaseDir(there)
    for path in SHARED:
        if path.parent.is_dir() and _unusable(path, parents=False) is None:
            return LeaseDir(path)
    path = _private_path()
    if reason := _unusable(path, parents=True, mode=0o700):
        raise BadInput(f"lease_dir: {clean(str(path))}: {reason}; set lease_dir to a folder on a local disk")
    return LeaseDir(path, PRIVATE_NOTE)


def existing_lease_dir(setting: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> LeaseDir | None:
    """The folder that `find_lease_dir` would find, for who only looks: nothing is made or changed.

    None where no job of this machine has made one yet, and for one that cannot be looked into.
    """
    try:
        given = _given(setting, environ)
    except BadInput:
        return None
    shared = _shared_there()
    if given is not None:
        found = LeaseDir(given[1], _age_cleaned(given[1]))
    elif shared is not None:
        found = LeaseDir(shared)
    else:
        found = LeaseDir(_private_path(), PRIVATE_NOTE)
    return found if os.access(found.path / PARTS[0], os.R_OK | os.X_OK) else None


def open_lease_dir(path: str, identity: str) -> LeaseDir | None:
    """The lease folder that a job recorded; None where it is gone, or another stands in its place.

    An empty identity is that of an older job, which did not record it. Raises OSError.
    """
    found = LeaseDir(Path(path))
    if not found.queue.is_dir() or (identity and found.identity() != identity):
        return None
    return found


def _given(setting: Path | str | None, environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """What the user asks for, and where; None where that is nothing. Raises BadInput for the home of nobody."""
    for origin, given in (("lease_dir", setting), (LEASE_DIR_ENV, environ.get(LEASE_DIR_ENV))):
        if given:
            try:
                return origin, Path(given).expanduser().absolute()
            except RuntimeError:
                raise BadInput(f"{origin}: {clean(str(given))}: no such user; give the path of a folder") from None
    return None


def _shared_there() -> Path | None:
    """The first shared folder that is there, usable or not."""
    return next((path for path in SHARED if os.path.lexists(path)), None)


def _private_path() -> Path:
    from platformdirs import user_state_path

    return user_state_path("xray-tui") / "lease"


def _unusable(path: Path, parents: bool, mode: int = OPEN_TO_ALL) -> str | None:
    """Make the folder with all that belongs into it; the reason where that does not work."""
    if path.is_relative_to("/dev/shm"):  # noqa: S108
        return "/dev/shm is emptied at logout"  # noqa: S108
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        missing = not os.path.lexists(path)
        if is_shared(kind := file_system(path.parent if missing else path)):
            return f"{clean(kind)} is a network file system, or may be one: its locks cannot be relied on"
        if missing:
            _make_whole(path, mode)
        _fill(path, mode)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _make_whole(path: Path, mode: int) -> None:
    """Make the folder beside its place and move it there, so that nobody finds half of it; another's stays."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        _fill(fresh, mode)
        fresh.chmod(mode)
        fresh.rename(path)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not path.is_dir():
            raise


def _fill(path: Path, mode: int) -> None:
    """Make what is missing in the folder; on a full disk one that has all can still be used."""
    _check_folder(path)
    for part in PARTS:
        with contextlib.suppress(FileExistsError):
            (path / part).mkdir()
            (path / part).chmod(mode)  # whatever the umask
        _check_folder(path / part)
    for name, content, permissions in (("seq", "0", 0o666), (ID, os.urandom(16).hex(), 0o644)):
        if not (path / name).exists():
            file_lock.place(path / name, f"{content}\n".encode(), permissions)


def _check_folder(path: Path) -> None:
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to")


def _age_cleaned(path: Path) -> str | None:
    for cleaned in ("/tmp", "/var/tmp"):  # noqa: S108
        if path.is_relative_to(cleaned):
            return f"{cleaned} may be cleaned by age: keep {clean(path.name)} out of that"
    return None


def file_system(path: Path) -> str:
    """The type of the file system that holds the path, such as "ext4"; empty where /proc does not tell."""
    return file_system_of(path, read_mountinfo())
