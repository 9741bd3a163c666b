"""The format of cached predictions, which every kind of run and nnU-Net share.

predictions/<split>_<tta>/index.json          format, checkpoint, data, tta, ids, presence_cls, device
                          probabilities.npy   uint16 (N, S, S), in the order of the ids; a classifier has none
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.formats import newer
from engine.contract.text import clean
from engine.data.arrays import open_array
from engine.evaluation.scores import Levels

FORMAT = "xray-probabilities/2"
INDEX = "index.json"
ARRAY = "probabilities.npy"

Key = dict[str, Any]
"""What predictions were made from, as fields of the index. Predictions with another key are made again."""


def cache_key(checkpoint: str, data: str, tta: str, ids: Iterable[str], masks: bool | None = None) -> Key:
    """`checkpoint`: its SHA-256; `data`: fingerprint of the samples; `masks`: whether nnU-Net made masks without
    probabilities, None for our own networks."""
    of_masks = {} if masks is None else {"masks": masks}
    return {"checkpoint": checkpoint, "data": data, "tta": tta, **of_masks, "ids": list(ids)}


class Cached(NamedTuple):
    """Predictions read from a cache folder."""

    levels: Levels | None
    """(N, S, S), memory-mapped; None for a classifier."""
    presence: list[float] | None
    """Presence probability of each image; None without a classification head."""
    device: str
    """Device and precision with which they were computed."""


def read_predictions(folder: Path, key: Key, shape: tuple[int, ...] | None) -> Cached | None:
    """The predictions in the folder, or None where they are missing, damaged or of another key. `shape` is that of the
    probabilities; None where only presence scores are expected."""
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        index = {"window": None} | index  # earlier versions had no windows
        if "config" in key and "config" not in index:
            print(f"{clean(str(folder))}: made again, as an earlier version did not record its config", flush=True)
            return None
        if any(index[name] != value for name, value in {"format": FORMAT, **key}.items()):
            return None
        presence = None if index["presence_cls"] is None else [float(score) for score in index["presence_cls"]]
        levels = None if shape is None else open_array(folder / ARRAY)
        device = str(index["device"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_whole = (levels is None or levels.shape == shape) and (presence is None or len(presence) == len(key["ids"]))
    return Cached(levels, presence, device) if is_whole else None


def write_index(folder: Path, key: Key, presence: list[float] | None, device: str) -> None:
    """Write the index. The array, if there is one, must be in the folder already."""
    write_json(folder / INDEX, {"format": FORMAT, **key, "presence_cls": presence, "device": device})


def data_of(folder: Path, checkpoint: str) -> str | None:
    """Fingerprint of the data that a checkpoint was applied to; None without predictions of that checkpoint."""
    index = _read_index(folder)
    return str(index["data"]) if index.get("checkpoint") == checkpoint and "data" in index else None


def checkpoint_of(folder: Path) -> str | None:
    """SHA-256 of the checkpoint that made the predictions; None without predictions. Raises BadInput for a format of a
    newer version."""
    index = _read_index(folder)
    if (reason := newer(index.get("format"), FORMAT)) is not None:
        raise BadInput(f"{clean(str(folder / INDEX))}: {reason}")
    checkpoint = index.get("checkpoint")
    return checkpoint if index.get("format") == FORMAT and isinstance(checkpoint, str) else None


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return index if isinstance(index, dict) else {}
