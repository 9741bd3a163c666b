"""What the kernel allows one process of the user, and whether the clock is kept by a time server."""

from __future__ import annotations

import ctypes
import resource

from xray_tui.doctor.finding import Finding, ok, unknown, warn
from xray_tui.doctor.patient import Patient

FILES = 1024
"""Open files: loader workers of a training hand each batch over as some."""
FILE_SIZE = 4 << 30

_UNSYNCHRONISED = 0x40
"""STA_UNSYNC of adjtimex(2): nobody keeps the clock."""


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


def clock(patient: Patient) -> list[Finding]:
    """Whether a time server keeps the clock, by the kernel's own word."""
    return [judge_clock(kernel_clock())]


def judge_clock(synchronised: bool | None) -> Finding:
    if synchronised is None:
        return unknown("clock", "the kernel does not tell who keeps it")
    if synchronised:
        return ok("clock", "kept by a time server")
    return warn(
        "clock",
        "no time server keeps it: times of other machines' results compare badly with this one's",
        "sudo timedatectl set-ntp true; in a virtual machine its host may keep it unseen",
    )


class _Timex(ctypes.Structure):
    """The beginning of struct timex, with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def kernel_clock() -> bool | None:
    """Whether the kernel holds its clock for synchronised; None where it does not say. Nothing is changed."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    answer = _Timex()
    if adjtimex(ctypes.byref(answer)) < 0:
        return None
    return not answer.status & _UNSYNCHRONISED


def _number(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
