"""Reasons for a reduced GPU clock, in words."""

from __future__ import annotations

_CAUSES = ((0x40, "hardware thermal slowdown"), (0x20, "thermal slowdown"), (0x80, "power brake"))
_HARDWARE_SLOWDOWN = 0x08


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons in NVML's bit mask that are heat or hardware; a power cap and an idle clock are normal.

    The bit "hardware slowdown" is set together with its cause, so it is reported only without a cause.
    """
    causes = tuple(word for bit, word in _CAUSES if reasons & bit)
    if not causes and reasons & _HARDWARE_SLOWDOWN:
        return ("hardware slowdown",)
    return causes
