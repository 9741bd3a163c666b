"""`xray-engine pictures`: draws test images on request, for the app, which imports neither numpy nor Pillow.

One JSON object a line. It first writes `{"threshold", "cases": [{"id", "fractured", "missed", "dice", "fp",
"presence"}, …]}`. A request is `{"id", "rows", "columns", "threshold", "zoom"}`, sizes in pixels; the answer is `{"id",
"dice", "rows", "columns", "pixels"}` with RGB bytes in base64, or `{"id", "error"}`. It ends with its input.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import IO, Any

from engine.contract.errors import BadInput
from engine.results.compare import read_result
from engine.results.pictures import Pictures, box_around, dice_of, draw

LARGEST = 4096
"""Largest side of a picture in pixels."""


def serve_pictures(place: Path, requests: IO[str] = sys.stdin, answers: IO[str] = sys.stdout) -> None:
    """Serve the pictures of a run or artifact until the requests end. Raises BadInput if it has none."""
    pictures = Pictures(read_result(place).path)
    cases = [
        {
            "id": str(identity),
            "fractured": bool(case.fractured),
            "missed": bool(case.fractured and case.tp == 0),
            "dice": float(case.dice) if case.fractured else None,
            "fp": int(case.fp),
            "presence": float(case.presence_score),
        }
        for identity, case in pictures.cases.iterrows()
    ]
    _answer(answers, {"threshold": pictures.threshold, "cases": cases})
    for line in requests:
        try:
            request = json.loads(line)
            _answer(answers, _drawn(pictures, request))
        except (BadInput, OSError, ValueError, KeyError, TypeError) as error:
            _answer(answers, {"id": None, "error": str(error)})


def _drawn(pictures: Pictures, request: dict[str, Any]) -> dict[str, Any]:
    identity, threshold = str(request["id"]), float(request["threshold"])
    size = (min(LARGEST, max(1, int(request["rows"]))), min(LARGEST, max(1, int(request["columns"]))))
    image, mask = pictures.image(identity), pictures.mask(identity)
    predicted = pictures.probabilities(identity) >= threshold
    box = (box_around(mask) or box_around(predicted)) if request.get("zoom") else None
    drawn = draw(image, mask, predicted, size, box)
    pixels = base64.b64encode(drawn.tobytes()).decode()
    dice = dice_of(mask, predicted)
    return {"id": identity, "dice": dice, "rows": drawn.shape[0], "columns": drawn.shape[1], "pixels": pixels}


def _answer(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()
