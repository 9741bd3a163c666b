"""The kernel's resource limits for a process of the user."""

from __future__ import annotations

import resource

from xray_tui.doctor.context import Context
from xray_tui.doctor.report import Finding, ok, warn

FILES = 1024
"""Open files that a training needs: loader workers pass each batch through several file descriptors."""
FILE_SIZE = 4 << 30
"""Bytes; a checkpoint may be as large."""


def limits(context: Context) -> list[Finding]:
    """The limits of this process, which a job inherits."""
    return judge_limits(
        resource.getrlimit(resource.RLIMIT_NOFILE),
        resource.getrlimit(resource.RLIMIT_CPU)[0],
        resource.getrlimit(resource.RLIMIT_FSIZE)[0],
    )


def judge_limits(files: tuple[int, int], cpu: int, size: int) -> list[Finding]:
    """`files`: soft and hard limit of open files; `cpu`: seconds; `size`: bytes; RLIM_INFINITY means no limit."""
    soft, hard = (_number(value) for value in files)
    few = files[0] != resource.RLIM_INFINITY and files[0] < FILES
    findings = [
        warn("open files", f"{soft}, at most {hard}: few for loader workers", f"ulimit -n {hard}, in ~/.profile")
        if few
        else ok("open files", f"{soft}, at most {hard}")
    ]
    if cpu != resource.RLIM_INFINITY:
        limited = f"the kernel kills a process, also a training, after {cpu:,} s of CPU time"
        findings.append(warn("CPU time", limited, "ulimit -t unlimited; if that is refused, ask the administrator"))
    if size != resource.RLIM_INFINITY and size < FILE_SIZE:
        limited = f"no file may be larger than {size >> 20:,} MiB; a checkpoint may be"
        findings.append(warn("file size", limited, "ulimit -f unlimited; if that is refused, ask the administrator"))
    return findings


def _number(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
