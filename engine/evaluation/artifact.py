"""The test artifact: its name, its per-image table, its JSON (test_metrics v1)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import __version__
from engine.contract.files import write_json, write_whole
from engine.contract.names import ENGINE_GIT_ENV, SCHEMA
from engine.evaluation.choose import Choice
from engine.evaluation.intervals import intervals
from engine.evaluation.metrics import (
    Confusion,
    dice_per_image,
    iou_per_image,
    presence_metrics,
    segmentation_metrics,
    sensitivity,
)
from engine.evaluation.scores import SplitScores, Table

PER_IMAGE_COLUMNS = ("id", "fractured", "dice", "iou", "tp", "fp", "fn", "presence_score")


def selection_key(**selection: Any) -> str:
    """A short hash of everything that was asked for: two artifacts of one key are the same evaluation, made again."""
    return hashlib.sha256(json.dumps(selection, sort_keys=True).encode()).hexdigest()[:8]


def artifact_path(folder: Path, stem: str, key: str) -> Path:
    """`stem.json`, or `stem_key.json` where that name is taken by another selection: nothing is overwritten but the
    same evaluation."""
    path = folder / f"{stem}.json"
    if not path.exists() or _key_of(path) == key:
        return path
    return folder / f"{stem}_{key}.json"


def metrics_of(scores: SplitScores, table: Table, choice: Choice) -> dict[str, float]:
    """All metrics of a split at the chosen threshold, presence source and gate."""
    presence = scores.presence_scores(choice.presence_source, choice.place)
    metrics = segmentation_metrics(confusion_of(scores, table, choice)) | presence_metrics(presence, scores.fractured)
    found = sensitivity(presence, scores.fractured, choice.presence_cut)
    if found is not None:
        metrics["sensitivity_at_90_specificity"] = found
    return metrics


def confusion_of(scores: SplitScores, table: Table, choice: Choice) -> Confusion:
    """The counts at the chosen threshold, gated where a gate was chosen."""
    counts = table.at(choice.place)
    if choice.gate is None:
        return counts
    return counts.gated(scores.presence_scores(choice.presence_source, choice.place) >= choice.gate)


def all_positive(table: Table) -> dict[str, float]:
    """What a prediction of fracture everywhere scores on the split: the floor of every figure beside it."""
    area = table.tp[:, 0] + table.fn[:, 0]
    return segmentation_metrics(Confusion(area, table.pixels - area, np.zeros_like(area), table.pixels))


def write_artifact(
    path: Path,
    *,
    key: str,
    val: SplitScores,
    test: SplitScores,
    choice: Choice,
    tta: str,
    selection: dict[str, Any],
    data: dict[str, Any],
    provenance: dict[str, Any],
    resamples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """Score the test split once at the choice, write the per-image table, then the artifact; returns the artifact."""
    counts = confusion_of(test, test.native, choice)
    presence = test.presence_scores(choice.presence_source, choice.place)
    table_path = path.with_name(f"{path.stem}.images.csv")
    artifact = {
        "schema": SCHEMA,
        **metrics_of(test, test.native, choice),
        "num_samples": len(test.ids),
        "num_positive": int(test.fractured.sum()),
        "validation": metrics_of(val, val.native, choice) | _numbers(val),
        "input": metrics_of(test, test.input, choice),
        "validation_input": metrics_of(val, val.input, choice),
        "all_positive": all_positive(test.native),
        "threshold": choice.threshold,
        "tta_mode": tta,
        "selection": {
            "threshold_source": choice.threshold_source,
            "presence_source": choice.presence_source,
            "gate": choice.gate,
            "gate_source": choice.gate_source,
            "selected_on": "val",
            "optimism": None,
            **selection,
            "key": key,
        },
        "intervals": intervals(counts, presence, test.fractured, test.groups, resamples, seed),
        "data": {"metric_resolution": "native", **data},
        "provenance": {
            **provenance,
            "git": git_state(),
            "engine": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "per_image": table_path.name,
    }
    write_whole(table_path, per_image_csv(test, counts, presence))
    write_json(path, artifact)
    return artifact


def per_image_csv(scores: SplitScores, counts: Confusion, presence: npt.NDArray[np.float64]) -> str:
    """One line an image; dice and iou are empty where the mask is. The artifact's figures follow from it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PER_IMAGE_COLUMNS)
    dice, iou = dice_per_image(counts), iou_per_image(counts)
    for place, (identity, positive) in enumerate(zip(scores.ids, counts.positive, strict=True)):
        overlap = (f"{dice[place]:.6f}", f"{iou[place]:.6f}") if positive else ("", "")
        pixels = (int(counts.tp[place]), int(counts.fp[place]), int(counts.fn[place]))
        row = (identity, int(scores.fractured[place]), *overlap, *pixels, repr(float(presence[place])))
        writer.writerow(row)
    return text.getvalue()


def git_state() -> str | None:
    """The engine's commit, `-dirty` where files differ from it; None outside a git checkout.

    A job runs a copy of the engine, and is told what the original's was.
    """
    if (told := os.environ.get(ENGINE_GIT_ENV)) is not None:
        return told or None
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _numbers(scores: SplitScores) -> dict[str, int]:
    return {"num_samples": len(scores.ids), "num_positive": int(scores.fractured.sum())}


def _key_of(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text("utf-8"))
        return str(found["selection"]["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
