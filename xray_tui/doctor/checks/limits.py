"""What the kernel allows one process of the user."""

from __future__ import annotations

import resource

from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, ok, warn

FILES = 1024
"""Open files: loader workers of a training hand each batch over as some."""
FILE_SIZE = 4 << 30


def limits(patient: Patient) -> list[Finding]:
    """This process's limits, which a job inherits."""
    return judge_limits(
        resource.getrlimit(resource.RLIMIT_NOFILE),
        resource.getrlimit(resource.RLIMIT_CPU)[0],
        resource.getrlimit(resource.RLIMIT_FSIZE)[0],
    )


def judge_limits(files: tuple[int, int], cpu: int, size: int) -> list[Finding]:
    """`files` are the soft and the hard limit; RLIM_INFINITY stands for none."""
    soft, hard = (_number(value) for value in files)
    few = files[0] != resource.RLIM_INFINITY and files[0] < FILES
    found = [
        warn("open files", f"{soft}, at most {hard}: few for loader workers", f"ulimit -n {hard}, in ~/.profile")
        if few
        else ok("open files", f"{soft}, at most {hard}")
    ]
    if cpu != resource.RLIM_INFINITY:
        limited = f"a process is killed after {cpu:,} s of CPU time, a training too"
        found.append(warn("CPU time", limited, "ulimit -t unlimited; where that is refused ask the administrator"))
    if size != resource.RLIM_INFINITY and size < FILE_SIZE:
        limited = f"no file may be larger than {size >> 20:,} MiB, and a checkpoint may be"
        found.append(warn("file size", limited, "ulimit -f unlimited; where that is refused ask the administrator"))
    return found


def _number(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
