"""The GPU policy of a user's jobs: allowed GPUs, foreign processes, limits on GPUs and jobs, and hours.

A launch copies it from the settings into the job, so a later change of the settings has no effect on the job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.contract.errors import BadInput
from engine.contract.text import brief
from xray_tui.gpu.in_use import UNLISTED_MEMORY

if TYPE_CHECKING:
    from xray_tui.settings import Settings

REFUSE, SHARE = "refuse", "share"
MOST_SLOTS = 8
IDLE_UNDER = UNLISTED_MEMORY

_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class GpuPolicy:
    allowed: tuple[str, ...] = ()
    """UUIDs of the GPUs that "auto" may take, in order of preference; empty means all, in order of their index."""
    foreign: str = REFUSE
    """Rule for a GPU with foreign compute processes: "refuse", "share", or "idle_under", which takes the GPU if its
    used memory is below `idle_under`."""
    idle_under: int = IDLE_UNDER
    """Memory in bytes; also the limit for a GPU whose processes cannot be listed."""
    max_gpus: int | None = None
    """Maximum number of GPUs that this user's jobs in one runs folder hold at once; None means no limit."""
    slots: int = 1
    """Number of single-GPU "auto" jobs that share a GPU; 1 means that jobs do not share."""
    hours: str = ""
    """Hours in which jobs may start, such as "20:00-08:00", in local time; empty means always."""

    def shares(self, gpu: str, count: int) -> bool:
        """Whether a job with this GPU request takes one slot of a GPU instead of the whole GPU."""
        return gpu == "auto" and count == 1 and self.slots > 1

    def exceeds_max(self, held: int, needed: int) -> bool:
        """Whether a job that needs `needed` GPUs must wait while the user's jobs hold `held`. A job that itself needs
        more than max_gpus starts when they hold none."""
        return self.max_gpus is not None and held > 0 and held + needed > self.max_gpus

    def ignores_processes(self, memory_used: int | None) -> bool:
        """Whether a job may take a GPU with this much memory in use (bytes), regardless of its processes."""
        if self.foreign == "idle_under":
            return memory_used is not None and memory_used < self.idle_under
        return self.foreign == SHARE

    def may_start(self, minute: int) -> bool:
        """Whether jobs may start at this minute of the day (0 to 1439). The hours may span midnight."""
        match = _HOURS.fullmatch(self.hours)
        if match is None:
            return True
        begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        return begin <= minute < end if begin < end else not end <= minute < begin


def policy_of(settings: Settings) -> GpuPolicy:
    """The policy in the settings, where GPUs have indices or UUIDs. Raises BadInput with one line per bad value."""
    rule = settings.foreign
    text = rule if isinstance(rule, str) else ", ".join(f"{key}: {value}" for key, value in rule.items())
    foreign, idle_under = REFUSE, IDLE_UNDER
    problems: list[str] = []
    try:
        foreign, idle_under = parse_foreign(text)
    except BadInput as error:
        problems += error.lines
    if settings.max_gpus is not None and settings.max_gpus < 1:
        problems.append(f"max_gpus: {settings.max_gpus}: give 1 or more")
    if not 1 <= settings.slots <= MOST_SLOTS:
        problems.append(f"slots: {settings.slots}: give 1 (each job has its GPU alone) to {MOST_SLOTS}")
    try:
        check_hours(settings.hours)
    except BadInput as error:
        problems += error.lines
    if problems:
        raise BadInput(f"settings.yaml: {problem}" for problem in problems)
    return GpuPolicy(
        allowed=tuple(map(str, settings.gpus)),
        foreign=foreign,
        idle_under=idle_under,
        max_gpus=settings.max_gpus,
        slots=settings.slots,
        hours=settings.hours.strip(),
    )


def parse_foreign(text: str) -> tuple[str, int]:
    """Parse "refuse", "share" or "idle_under: 2GiB" into (foreign, idle_under). Raises BadInput with one line."""
    word, _, size = text.partition(":")
    word = word.strip()
    if word in (REFUSE, SHARE) and not size:
        return word, IDLE_UNDER
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B|)", size.strip())
    if word != "idle_under" or match is None:
        raise BadInput(f"foreign: {brief(text)}: give refuse, share, or idle_under: 2GiB")
    return word, int(float(match[1]) * _SIZES[match[2]])


def check_hours(text: str) -> str:
    """Return the hours, stripped. Raises BadInput with a one-line message if they are not a span."""
    if text and _HOURS.fullmatch(text.strip()) is None:
        raise BadInput(f"hours: {brief(text)}: give a span such as 20:00-08:00")
    return text.strip()


def from_values(values: Any) -> GpuPolicy:
    """The policy in a job.json or a ticket; a missing or invalid value becomes the default."""
    values = values if isinstance(values, dict) else {}
    allowed, foreign, hours = values.get("allowed"), values.get("foreign"), values.get("hours")
    under, most, slots = values.get("idle_under"), values.get("max_gpus"), values.get("slots")
    return GpuPolicy(
        allowed=tuple(item for item in allowed if isinstance(item, str)) if isinstance(allowed, list) else (),
        foreign=foreign if foreign in (REFUSE, SHARE, "idle_under") else REFUSE,
        idle_under=under if type(under) is int and under >= 0 else IDLE_UNDER,
        max_gpus=most if type(most) is int and most > 0 else None,
        slots=slots if isinstance(slots, int) and 1 < slots <= MOST_SLOTS else 1,
        hours=hours if isinstance(hours, str) and _HOURS.fullmatch(hours) else "",
    )
