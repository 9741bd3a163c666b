"""On which file system a folder lies, and whether inotify hears there what other machines write."""

from __future__ import annotations

import os
import re
from pathlib import Path

SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "ocfs2"),
        *("gfs2", "glusterfs", "orangefs", "pvfs2", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "davfs", "acfs", "panfs"),
    }
)
"""File systems that other machines may write to; so may every one in user space (fuse.sshfs and the like)."""

_OCTAL = re.compile(r"\\([0-7]{3})")


def is_shared(file_system: str) -> bool:
    """Whether other machines may write there unheard."""
    return file_system in SHARED or file_system.startswith("fuse.")


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds an absolute path, by the text of /proc/self/mountinfo; "" if unknown."""
    return _mount_of(path, mountinfo)[0]


def source_of(path: Path, mountinfo: str) -> str:
    """What is mounted there, such as "/dev/sda1" or "server:/home"; "" if unknown."""
    return _mount_of(path, mountinfo)[1]


def _mount_of(path: Path, mountinfo: str) -> tuple[str, str]:
    """Type and source of the mount that holds the path."""
    target, found, longest = os.path.realpath(path), ("", ""), -1
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, *_) = left.split(" "), [*right.split(" "), ""]
        if len(fields) < 5 or not kind:
            continue
        point = _decoded(fields[4])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of mounts at one place the last one is on top
            found, longest = (kind, _decoded(source)), len(point)
    return found


def _decoded(text: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), text)


def read_mountinfo() -> str:
    """The mounts as this process sees them; empty on systems that have no such file."""
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
