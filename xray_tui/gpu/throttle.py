"""Why a GPU's clock is held down, in words."""

from __future__ import annotations

_CAUSES = ((0x40, "hardware thermal slowdown"), (0x20, "thermal slowdown"), (0x80, "power brake"))
_HARDWARE_SLOWDOWN = 0x08


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons of NVML's bit mask that are heat or hardware; a power cap and an idle clock are everyday things.

    The bit "hardware slowdown" is set along with its cause, so it is named only where no cause is.
    """
    causes = tuple(word for bit, word in _CAUSES if reasons & bit)
    if not causes and reasons & _HARDWARE_SLOWDOWN:
        return ("hardware slowdown",)
    return causes
