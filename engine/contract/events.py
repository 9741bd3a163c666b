"""Format and parse the lines of events.jsonl, which may be incomplete or damaged.

    {"event": "start", "time": 1771115932.1, "run": "runs/a", "epochs": 20, "steps": 1240, "step": 0}
    {"event": "step", "time": …, "epoch": 1, "step": 10, "steps": 1240, "loss": 0.61, "lr": 1e-4,
     "images_per_s": 14.2, "eta_s": 1310.0}
    {"event": "epoch", "time": …, "epoch": 1, "epochs": 20, "step": 62, "loss": 0.58, "lr": …, "images_per_s": …,
     "eta_s": …, "val": {"dice_pos": 0.11, "threshold": 0.35, "roc_auc_presence": 0.62, …}, "best": true}
    {"event": "end", "time": …, "state": "done" | "stopped", "step": 1240, "seconds": 2160.0}

`time` is seconds since the epoch (UTC). `epoch` counts from 1. `eta_s` is the remaining time of the whole training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]


def format_event(event: str, time: float, **fields: Any) -> str:
    """The event as one line, with its newline. Numbers that are not finite become null, because JSON has no NaN."""
    return json.dumps(_finite({"event": event, "time": round(time, 3), **fields}), allow_nan=False) + "\n"


def parse_events(text: str) -> Iterator[Event]:
    """The events in the text. Lines that are not JSON objects with a string `event` are skipped."""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and isinstance(value.get("event"), str):
            yield value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
