"""The index of a folder of cached predictions: what they are of, and the presence scores among them.

predictions/<split>_<tta>/index.json          format, checkpoint, data, tta, ids, presence_cls, device
                          probabilities.npy   (N, S, S), in the order of the ids; none of a classifier
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT = "xray-probabilities/2"
INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Index:
    """What predictions are of: with one of these different they are others."""

    checkpoint: str
    """Its sha256."""
    data: str
    """The samples' fingerprint."""
    tta: str
    ids: tuple[str, ...]

    def with_answers(self, presence: list[float] | None, device: str) -> dict[str, Any]:
        """The whole index, to be written beside the array."""
        return {"format": FORMAT, **asdict(self), "presence_cls": presence, "device": device}


def data_of(path: Path, checkpoint: str) -> str | None:
    """The fingerprint of the data in an index, where its predictions are that checkpoint's."""
    try:
        kept = json.loads(path.read_text("utf-8"))
        return str(kept["data"]) if kept["checkpoint"] == checkpoint else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_index(folder: Path, index: Index) -> tuple[list[float] | None, str] | None:
    """(presence scores of a head or None, the device) that are kept for exactly this; None where none are."""
    try:
        kept = json.loads((folder / INDEX).read_text("utf-8"))
        expected = {"format": FORMAT, **asdict(index), "ids": list(index.ids)}
        if any(kept[key] != value for key, value in expected.items()):
            return None
        presence = kept["presence_cls"]
        scores = None if presence is None else [float(score) for score in presence]
        return None if scores is not None and len(scores) != len(index.ids) else (scores, str(kept["device"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
