"""The lock folder, which holds the queue and the locks of all users of a machine: its location and its layout.

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
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.model.gpu_policy import MOST_SLOTS
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.safe_files import read_small

LOCK_DIR_ENV = "XRAY_TUI_LEASE_DIR"
SHARED = (Path("/run/lock/xray-tui"), Path("/var/tmp/xray-tui"))  # noqa: S108 - sticky, and meant to be shared

OPEN_TO_ALL = 0o1777
"""The mode of the folder: all users can create files, and only the owner of a file can remove it."""

ID = "id"

PARTS = ("queue", "gpu", "cpu", "live")

PRIVATE_NOTE = "no shared lock folder: jobs of other users cannot be seen"


@dataclass(frozen=True, slots=True)
class LockDir:
    path: Path
    is_private: bool = False

    @property
    def lock(self) -> Path:
        """The lock file of the mutex."""
        return self.path / "queue.lock"

    @property
    def queue(self) -> Path:
        return self.path / "queue"

    @property
    def seq(self) -> Path:
        """The file with the number of the last ticket."""
        return self.path / "seq"

    def gpu(self, uuid: str) -> Path:
        return self.path / "gpu" / f"{uuid.replace('/', '_')}.lock"

    def slots(self, uuid: str) -> list[Path]:
        """The locks of the jobs that share the GPU; together they hold the GPU's own lock as a shared lock."""
        return [self.path / "gpu" / f"{uuid.replace('/', '_')}.{number}.lock" for number in range(MOST_SLOTS)]

    def cpu(self, slot: int) -> Path:
        return self.path / "cpu" / f"{slot}.lock"

    def supervised(self, job: str) -> Path:
        """The supervisor lock, held while a supervisor of the job is alive."""
        return self.path / "live" / f"{job}.sup"

    def runs(self, job: str) -> Path:
        """The engine lock, held while the engine of the job is alive."""
        return self.path / "live" / f"{job}.run"

    def identity(self) -> str:
        """The random id of the folder; a later folder at this path has another. Empty if none. Raises OSError."""
        try:
            return clean(read_small(self.path / ID, 64).decode("ascii", "replace").strip())
        except FileNotFoundError:
            return ""

    def touch(self, job: str, gpus: Iterable[str]) -> None:
        """Touch the lock files of the job and the folder, so that no cleaner deletes them as old."""
        locks = [path for uuid in gpus for path in (self.gpu(uuid), *self.slots(uuid))]
        for path in (*locks, self.supervised(job), self.runs(job), self.lock, self.seq, self.path / ID):
            with contextlib.suppress(OSError):
                os.utime(path)

    def mutex(self, patience: float = 10.0) -> AbstractContextManager[None]:
        """Hold the mutex of the folder, under which tickets and locks change. Raises file_lock.Busy."""
        return file_lock.mutex(self.lock, patience)


def find_lock_dir(setting: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> LockDir:
    """The machine's lock folder, created if it is missing.

    That is the setting or, if unset, $XRAY_TUI_LEASE_DIR; otherwise the first shared folder that exists or can be
    created; otherwise a private folder. Raises BadInput if the user's or an existing shared folder cannot be used.
    """
    origin, found = _locate(setting, environ)
    if found.is_private:
        for path in SHARED:
            if path.parent.is_dir() and _unusable(path, OPEN_TO_ALL) is None:
                return LockDir(path)
    # An existing shared folder is never passed over: with a second one, two users could hold the same GPU.
    if reason := _unusable(found.path, 0o700 if found.is_private else OPEN_TO_ALL):
        shown = clean(str(found.path))
        raise BadInput(f"{origin}: {shown}: {reason}; fix this, or let all users set lease_dir to a local folder")
    return found


def existing_lock_dir(setting: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> LockDir | None:
    """The folder that `find_lock_dir` returns, but without creating or changing anything. None if no job of this
    machine has created it yet, or if it cannot be read."""
    try:
        _, found = _locate(setting, environ)
    except BadInput:
        return None
    return found if os.access(found.path / PARTS[0], os.R_OK | os.X_OK) else None


def open_lock_dir(path: str, identity: str) -> LockDir | None:
    """The lock folder recorded in job.json; None if it is missing or was replaced. `identity` is empty for jobs of
    older versions, which did not record it. Raises OSError."""
    lock_dir = LockDir(Path(path))
    if not lock_dir.queue.is_dir() or (identity and lock_dir.identity() != identity):
        return None
    return lock_dir


def _locate(setting: Path | str | None, environ: Mapping[str, str]) -> tuple[str, LockDir]:
    """(the setting or variable that decides, the user's folder, or the first shared folder that exists, usable or not,
    or the private one). Raises BadInput for the home of an unknown user."""
    for origin, value in (("lease_dir", setting), (LOCK_DIR_ENV, environ.get(LOCK_DIR_ENV))):
        if value:
            try:
                path = Path(value).expanduser().absolute()
            except RuntimeError:
                raise BadInput(f"{origin}: {clean(str(value))}: no such user; give the path of a folder") from None
            return origin, LockDir(path)
    for path in SHARED:
        if os.path.lexists(path):
            return "lease_dir", LockDir(path)
    from platformdirs import user_state_path

    return "lease_dir", LockDir(user_state_path("xray-tui") / "lease", is_private=True)


def _unusable(path: Path, mode: int) -> str | None:
    """Create the folder with its content if it is missing; returns why it cannot be used, or None."""
    if path.is_relative_to("/dev/shm"):  # noqa: S108
        return "/dev/shm is emptied at logout"  # noqa: S108
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        missing = not os.path.lexists(path)
        if is_shared(kind := file_system(path.parent if missing else path)):
            return f"{clean(kind)} is a network file system, or may be one: its locks are unreliable"
        if missing:
            _make_whole(path, mode)
        _fill(path, mode)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _make_whole(path: Path, mode: int) -> None:
    """Create the folder under a temporary name and rename it, so that it is never incomplete; keeps an existing one."""
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
    """Create only what is missing, so that a complete folder can be used on a full disk."""
    _check_folder(path)
    for part in PARTS:
        with contextlib.suppress(FileExistsError):
            (path / part).mkdir()
            (path / part).chmod(mode)  # mkdir applies the umask
        _check_folder(path / part)
    for name, content, permissions in (("seq", "0", 0o666), (ID, os.urandom(16).hex(), 0o644)):
        if not (path / name).exists():
            file_lock.place(path / name, f"{content}\n".encode(), permissions)


def _check_folder(path: Path) -> None:
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "cannot be written to")


def file_system(path: Path) -> str:
    """The type of the file system that holds the path, such as "ext4"; empty if /proc does not show it."""
    return file_system_of(path, read_mountinfo())
