"""Durations and sizes as short words."""

from __future__ import annotations

GIB = 1 << 30
MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float | None) -> str:
    """`42s`, `3m10s`, `2h05m`, `3d04h`; empty if unknown."""
    if seconds is None or not 0 <= seconds < 1e9:
        return ""
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02d}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02d}m"
    return f"{whole // DAY}d{whole % DAY // HOUR:02d}h"


def size(count: int) -> str:
    """Bytes as `41.2 GiB` or `1,024 GiB`, below 1 GiB as `512 MiB`."""
    if count < GIB:
        return f"{count >> 20} MiB"
    return f"{count / GIB:.1f} GiB" if count < 100 * GIB else f"{count / GIB:,.0f} GiB"


def gibibytes(count: int | None, digits: int = 1) -> str:
    """Bytes as a number of GiB without the unit: `41.2`; `-` if unknown."""
    return "-" if count is None else f"{count / GIB:.{digits}f}"
