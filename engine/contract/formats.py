"""File formats, written into each file as `NAME/NUMBER`. A higher number is a format that this version cannot read."""

from __future__ import annotations

from engine.contract.text import clean

_LONGEST = 60
"""Longest format name in characters."""


def newer(found: object, known: str) -> str | None:
    """Why a file of format `found` cannot be read by a version that writes `known`; None if `found` is not newer.

    >>> newer("xray-job/2", "xray-job/1")
    'written by a newer version (xray-job/2); this version reads xray-job/1'
    """
    name, _, number = known.rpartition("/")
    if not isinstance(found, str) or len(found) > _LONGEST or not found.startswith(f"{name}/"):
        return None
    later = found.removeprefix(f"{name}/").partition(".")[0]
    if not (later.isascii() and later.isdigit()) or int(later) <= int(number):
        return None
    return f"written by a newer version ({clean(found)}); this version reads {known}"
