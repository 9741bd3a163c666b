"""The test artifact: its name, its per-image table, its JSON (test_metrics v1)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import __version__
from engine.contract.files import write_json, write_whole
from engine.contract.formats import newer
from engine.contract.names import ENGINE_GIT_ENV, SCHEMA
from engine.evaluation.choose import Choice
from engine.evaluation.heads import HeadScores
from engine.evaluation.intervals import intervals
from engine.evaluation.metrics import (
    Confusion,
    Floats,
    dice_per_image,
    iou_per_image,
    presence_metrics,
    presence_threshold,
    segmentation_metrics,
    sensitivity,
)
from engine.evaluation.presence import HEAD
from engine.evaluation.scores import SplitScores, Table

Flags = npt.NDArray[np.bool_]

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
    of_masks = segmentation_metrics(confusion_of(scores, table, choice))
    return of_masks | metrics_of_presence(presence, scores.fractured, choice.presence_cut)


def metrics_of_presence(presence: Floats, fractured: Flags, cut: float) -> dict[str, float]:
    """The metrics of presence scores; `cut` is the presence threshold that validation gave."""
    metrics = presence_metrics(presence, fractured)
    found = sensitivity(presence, fractured, cut)
    return metrics if found is None else metrics | {"sensitivity_at_90_specificity": found}


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
    figures = {
        **metrics_of(test, test.native, choice),
        **_numbers(test.fractured),
        "validation": metrics_of(val, val.native, choice) | _numbers(val.fractured),
        "input": metrics_of(test, test.input, choice),
        "validation_input": metrics_of(val, val.input, choice),
        "all_positive": all_positive(test.native),
        "threshold": choice.threshold,
        "tta_mode": tta,
        "intervals": intervals(counts, presence, test.fractured, test.groups, resamples, seed),
    }
    chosen = {
        "threshold_source": choice.threshold_source,
        "presence_source": choice.presence_source,
        "gate": choice.gate,
        "gate_source": choice.gate_source,
        **selection,
    }
    table = per_image_csv(test.ids, test.fractured, counts, presence)
    return _publish(path, figures, table, key, chosen, {"metric_resolution": "native", **data}, provenance)


def write_presence_artifact(
    path: Path,
    *,
    key: str,
    val: HeadScores,
    test: HeadScores,
    tta: str,
    selection: dict[str, Any],
    data: dict[str, Any],
    provenance: dict[str, Any],
    resamples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """As `write_artifact`, of a classifier: presence metrics alone, and a table without pixels."""
    cut = presence_threshold(val.scores, val.fractured)
    figures = {
        "kind": "classifier",
        **metrics_of_presence(test.scores, test.fractured, cut),
        **_numbers(test.fractured),
        "validation": metrics_of_presence(val.scores, val.fractured, cut) | _numbers(val.fractured),
        "tta_mode": tta,
        "intervals": intervals(None, test.scores, test.fractured, test.groups, resamples, seed),
    }
    table = per_image_csv(test.ids, test.fractured, None, test.scores)
    return _publish(path, figures, table, key, {"presence_source": HEAD, **selection}, data, provenance)


def _publish(
    path: Path,
    figures: dict[str, Any],
    table: str,
    key: str,
    selection: dict[str, Any],
    data: dict[str, Any],
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """Write the per-image table, then the artifact."""
    table_path = path.with_name(f"{path.stem}.images.csv")
    artifact = {
        "schema": SCHEMA,
        **figures,
        "selection": {"selected_on": "val", "optimism": None, **selection, "key": key},
        "data": data,
        "provenance": {
            **provenance,
            "git": git_state(),
            "engine": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "per_image": table_path.name,
    }
    write_whole(table_path, table)
    write_json(path, artifact)
    return artifact


def per_image_csv(ids: Sequence[str], fractured: Flags, counts: Confusion | None, presence: Floats) -> str:
    """One line an image; dice and iou are empty where the mask is, and so is all of the masks without `counts`. The
    artifact's figures follow from it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PER_IMAGE_COLUMNS)
    of_masks = [("", "", "", "", "")] * len(ids) if counts is None else _mask_columns(counts)
    for identity, flag, columns, score in zip(ids, fractured, of_masks, presence, strict=True):
        writer.writerow((identity, int(flag), *columns, repr(float(score))))
    return text.getvalue()


def _mask_columns(counts: Confusion) -> list[tuple[object, ...]]:
    """dice, iou, tp, fp and fn of each image."""
    pixels = zip(counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), strict=True)
    overlaps = zip(dice_per_image(counts), iou_per_image(counts), counts.positive, strict=True)
    return [
        (*((f"{dice:.6f}", f"{iou:.6f}") if positive else ("", "")), *each)
        for (dice, iou, positive), each in zip(overlaps, pixels, strict=True)
    ]


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


def _numbers(fractured: Flags) -> dict[str, int]:
    return {"num_samples": len(fractured), "num_positive": int(fractured.sum())}


def _key_of(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text("utf-8"))
        return None if newer(found.get("schema"), SCHEMA) else str(found["selection"]["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
