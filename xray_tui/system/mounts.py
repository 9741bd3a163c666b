"""The file system of a folder, and whether other machines can write to it without causing inotify events here."""

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
"""Types of file systems that other machines may write to, besides those in user space (fuse.sshfs and others)."""

_OCTAL = re.compile(r"\\([0-7]{3})")


def is_shared(file_system: str) -> bool:
    """Whether other machines may write there without causing inotify events here."""
    return file_system in SHARED or file_system.startswith("fuse.")


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system at the path; "" if unknown. `mountinfo` is the text of /proc/self/mountinfo."""
    return _mount_of(path, mountinfo)[0]


def source_of(path: Path, mountinfo: str) -> str:
    """The source of the file system, such as "/dev/sda1" or "server:/home"; "" if unknown."""
    return _mount_of(path, mountinfo)[1]


def _mount_of(path: Path, mountinfo: str) -> tuple[str, str]:
    """(type, source) of the mount at the path."""
    target, mount, longest = os.path.realpath(path), ("", ""), -1
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, *_) = left.split(" "), [*right.split(" "), ""]
        if len(fields) < 5 or not kind:
            continue
        point = _decoded(fields[4])
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # the last of several mounts at one path covers the others
            mount, longest = (kind, _decoded(source)), len(point)
    return mount


def _decoded(text: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), text)


def read_mountinfo() -> str:
    """The text of /proc/self/mountinfo; empty if it cannot be read."""
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
