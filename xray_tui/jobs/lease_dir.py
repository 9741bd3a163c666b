"""The folder in which all users of a machine meet: which one it is, and where things lie in it.

queue.lock  seq  queue/<priority>.<ticket>.<job>  gpu/<UUID>.lock  cpu/<n>.lock  live/<job>.sup  live/<job>.run
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs import lease

LEASE_DIR_ENV = "XRAY_TUI_LEASE_DIR"
SHARED = (Path("/run/lock/xray-tui"), Path("/var/tmp/xray-tui"))  # noqa: S108 - sticky, and meant to be shared

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "pvfs2"}
    | {"glusterfs", "fuse.glusterfs", "fuse.sshfs"}
)
"""File systems whose locks cannot be relied on between hosts, as /proc names them."""

OPEN_TO_ALL = 0o1777
"""Everybody makes files of their own in it, nobody removes another's."""


@dataclass(frozen=True, slots=True)
class LeaseDir:
    """A usable lease folder; `note` says what its users should know."""

    path: Path
    note: str | None = None

    @property
    def queue(self) -> Path:
        return self.path / "queue"

    @property
    def seq(self) -> Path:
        """Holds the number of the last ticket."""
        return self.path / "seq"

    def gpu(self, uuid: str) -> Path:
        return self.path / "gpu" / f"{uuid.replace('/', '_')}.lock"

    def cpu(self, slot: int) -> Path:
        return self.path / "cpu" / f"{slot}.lock"

    def supervised(self, job: str) -> Path:
        """Held as long as somebody looks after the job."""
        return self.path / "live" / f"{job}.sup"

    def runs(self, job: str) -> Path:
        """Held as long as its engine lives."""
        return self.path / "live" / f"{job}.run"

    @contextmanager
    def mutex(self, patience: float = 10.0) -> Iterator[None]:
        """The one mutex, under which tickets and locks change hands. Raises lease.Busy."""
        with lease.mutex(self.path / "queue.lock", patience):
            yield


def find_lease_dir(setting: str | None = None, environ: Mapping[str, str] = os.environ) -> LeaseDir:
    """The machine's lease folder, made where it is missing.

    The setting, else $XRAY_TUI_LEASE_DIR: raises BadInput where that cannot be used. Else the first shared one that
    can be, else a private one.
    """
    for origin, given in (("lease_dir", setting), (LEASE_DIR_ENV, environ.get(LEASE_DIR_ENV))):
        if given:
            path = Path(given).expanduser().absolute()
            if reason := _unusable(path, parents=True):
                raise BadInput(f"{origin}: {clean(str(path))}: {reason}; give a folder on a local disk")
            return LeaseDir(path, _age_cleaned(path))
    for path in SHARED:
        if path.parent.is_dir() and _unusable(path, parents=False) is None:
            return LeaseDir(path)
    return _private()


def open_lease_dir(path: str) -> LeaseDir | None:
    """The lease folder that a job recorded; None where it is gone."""
    found = LeaseDir(Path(path))
    return found if found.queue.is_dir() else None


def _private() -> LeaseDir:
    from platformdirs import user_state_path

    path = user_state_path("xray-tui") / "lease"
    if reason := _unusable(path, parents=True, mode=0o700):
        raise BadInput(f"lease_dir: {clean(str(path))}: {reason}; set lease_dir to a folder on a local disk")
    return LeaseDir(path, "no shared lease folder: jobs of other users cannot be seen")


def _unusable(path: Path, parents: bool, mode: int = OPEN_TO_ALL) -> str | None:
    """Make the folder with all that belongs into it; the reason where that does not work."""
    if path.is_relative_to("/dev/shm"):  # noqa: S108
        return "/dev/shm is emptied at logout"  # noqa: S108
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, mode)
        if (kind := file_system(path)) in NETWORK:
            return f"{kind} is a network file system, whose locks cannot be relied on"
        for part in ("queue", "gpu", "cpu", "live"):
            _make(path / part, mode)
        lease.place(path / "seq", b"0\n", 0o666)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _make(path: Path, mode: int) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotADirectoryError(0, "not a folder") from None
    else:
        path.chmod(mode)  # whatever the umask
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(0, "cannot be written to")


def _age_cleaned(path: Path) -> str | None:
    for cleaned in ("/tmp", "/var/tmp"):  # noqa: S108
        if path.is_relative_to(cleaned):
            return f"{cleaned} may be cleaned by age: keep {clean(path.name)} out of that"
    return None


def file_system(path: Path) -> str:
    """The type of the file system that holds the path, such as "ext4"; empty where /proc does not tell."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == wanted:
            return kind.split()[0]
    return ""
