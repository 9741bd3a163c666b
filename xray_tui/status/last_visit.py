"""The start of the report: a time such as "12h" as text, and the time of this user's last visit to a runs folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from datetime import datetime
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.text import clean
from xray_tui.jobs.model.job import parse_object
from xray_tui.system.safe_files import read_small

DAY = 86_400.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhdw])")


def parse_since(text: str, now: float) -> float:
    """The time in seconds since the epoch: `30m`, `12h` or `2d` before `now`, or a date and time in ISO format and the
    local time zone. Raises BadInput."""
    if (span := _SPAN.fullmatch(text.strip())) is not None:
        return now - float(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"--since {clean(text)}: expected 30m, 12h, 2d, or a time such as 2026-02-15T08:00") from None


def last_use(runs: Path, now: float) -> float | None:
    """When this user last used the app or `xray-tui status` on the runs folder; None if unknown or in the future (after
    the clock was set back)."""
    try:
        values = parse_object(read_small(_file(runs))) or {}
    except OSError:
        return None
    time = values.get("time")
    return float(time) if isinstance(time, int | float) and 0 < time <= now else None


def note_use(runs: Path, now: float) -> None:
    """Save `now` as the time of the last visit. Does nothing on a full disk or without a home folder."""
    path = _file(runs)
    with contextlib.suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"runs": str(runs.absolute()), "time": now}, 0o600)


def _file(runs: Path) -> Path:
    """One file per runs folder, so that apps on different folders do not overwrite each other's times."""
    from platformdirs import user_state_path

    name = hashlib.sha256(os.fsencode(os.path.realpath(runs))).hexdigest()[:16]
    return user_state_path("xray-tui") / "last_use" / f"{name}.json"
