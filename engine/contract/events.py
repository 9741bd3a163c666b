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
from collections.abc import Iterator, Mapping
from typing import Any

from engine.contract.units import duration

Event = dict[str, Any]

SHORT_NAMES = {
    "dice_pos": "Dice",
    "pseudo_dice": "pDice",
    "roc_auc_presence": "AUC",
    "average_precision_presence": "AP",
}
"""Validation metrics in the line of an epoch, with their names there."""


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


def epoch_line(
    epoch: float, epochs: float, loss: float, values: Mapping[str, float], is_best: bool, seconds: float
) -> str:
    """An epoch in one line; `values` are its validation metrics.

    >>> epoch_line(3, 24, 1.0239, {"dice_pos": 0.0881, "roc_auc_presence": 0.6}, True, 11.3)
    'epoch 3/24  loss 1.024  Dice .088  AUC .600  best  11s'
    """
    known = {short: f"{values[name]:.3f}" for name, short in SHORT_NAMES.items() if name in values}
    metrics = [f"{short} {text[1:] if text[0] == '0' else text[:-1]}" for short, text in known.items()]
    parts = [f"epoch {epoch:.0f}/{epochs:.0f}", f"loss {loss:.3f}", *metrics, "best" if is_best else "    "]
    return "  ".join([*parts, duration(seconds)]).rstrip()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
