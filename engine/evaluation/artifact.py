"""The test artifact: its name, its per-image table, and its JSON (test_metrics v1)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract.files import file_sha256, write_json, write_whole
from engine.contract.formats import newer
from engine.contract.names import CONFIG, DATA, SCHEMA
from engine.contract.text import clean, look_text
from engine.evaluation.choose import Choice
from engine.evaluation.looks import record_look
from engine.evaluation.metrics import (
    Confusion,
    Floats,
    dice_per_image,
    intervals,
    iou_per_image,
    presence_metrics,
    presence_threshold,
    segmentation_metrics,
    sensitivity,
)
from engine.evaluation.predictions import Predictions
from engine.evaluation.presence import HEAD
from engine.evaluation.scores import SplitScores
from engine.process.provenance import computed

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an artifact records beside its figures."""

    run: Path
    path: Path
    key: str
    """`selection_key` of the request."""
    started: float
    """time.monotonic() at the start of the evaluation."""
    tta: str
    selection: dict[str, Any]
    data: dict[str, Any]
    checkpoints: Sequence[Mapping[str, str]]
    """path and sha256 of each checkpoint."""
    device: str
    resamples: int
    """Bootstrap resamples for each interval; 0: no intervals."""
    seed: int
    provenance: Mapping[str, object] = field(default_factory=dict)
    """Further entries of the provenance: `training`, or that of each member of a blend."""


def selection_key(**selection: Any) -> str:
    """A short hash of the request. An artifact is replaced only by another evaluation with its key."""
    return hashlib.sha256(json.dumps(selection, sort_keys=True).encode()).hexdigest()[:8]


def artifact_path(folder: Path, stem: str, key: str, output: Path | None = None) -> Path:
    """The artifact's file: `output` if given, else `stem.json`, or `stem_key.json` where an artifact of another key
    has that name. The folder of an `output` is made."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        return output
    path = folder / f"{stem}.json"
    if not path.exists() or _key_of(path) == key:
        return path
    return folder / f"{stem}_{key}.json"


def metrics_of(scores: SplitScores, table: Confusion, choice: Choice) -> dict[str, float]:
    """All metrics of a split at the chosen threshold, presence source and gate."""
    presence = scores.presence_scores(choice.presence_source, choice.index)
    of_masks = segmentation_metrics(confusion_of(scores, table, choice))
    return of_masks | metrics_of_presence(presence, scores.fractured, choice.presence_cut)


def metrics_of_presence(presence: Floats, fractured: Flags, cut: float) -> dict[str, float]:
    """The metrics of presence scores; `cut` is the presence threshold chosen on validation, infinite if that has no
    negative image. A metric that needs a missing class is left out."""
    at_cut = sensitivity(presence, fractured, cut) if np.isfinite(cut) else None
    of_cut = {} if at_cut is None else {"sensitivity_at_90_specificity": at_cut}
    return presence_metrics(presence, fractured) | of_cut


def confusion_of(scores: SplitScores, table: Confusion, choice: Choice) -> Confusion:
    """The counts at the chosen threshold, gated if a gate was chosen."""
    counts = table.at(choice.index)
    if choice.gate is None:
        return counts
    return counts.gated(scores.presence_scores(choice.presence_source, choice.index) >= choice.gate)


def write_artifact(evaluation: Evaluation, val: SplitScores, test: SplitScores, choice: Choice) -> None:
    """Score the test split once at the choice, write the per-image table, then the artifact, and print its figures."""
    counts = confusion_of(test, test.native, choice)
    presence = test.presence_scores(choice.presence_source, choice.index)
    area = test.native.tp[:, 0] + test.native.fn[:, 0]
    everywhere = Confusion(area, test.native.pixels - area, np.zeros_like(area), test.native.pixels)
    figures = {
        **metrics_of(test, test.native, choice),
        **_numbers(test.fractured),
        "validation": metrics_of(val, val.native, choice) | _numbers(val.fractured),
        "input": metrics_of(test, test.input, choice),
        "validation_input": metrics_of(val, val.input, choice),
        "all_positive": segmentation_metrics(everywhere),  # a floor for all other figures
        "threshold": choice.threshold,
    }
    chosen = {
        "threshold_source": choice.threshold_source,
        "presence_source": choice.presence_source,
        "gate": choice.gate,
        "gate_source": choice.gate_source,
        "optimism": choice.optimism,
    }
    _publish(evaluation, figures, chosen, {"metric_resolution": "native"}, test, counts, presence)


def write_presence_artifact(evaluation: Evaluation, val: Predictions, test: Predictions) -> None:
    """`write_artifact` for a classifier: presence metrics only, and a table without pixel counts."""
    assert val.presence is not None
    assert test.presence is not None
    cut = presence_threshold(val.presence, val.fractured)
    figures = {
        "kind": "classifier",
        **metrics_of_presence(test.presence, test.fractured, cut),
        **_numbers(test.fractured),
        "validation": metrics_of_presence(val.presence, val.fractured, cut) | _numbers(val.fractured),
    }
    _publish(evaluation, figures, {"presence_source": HEAD}, {}, test, None, test.presence)


def _publish(
    evaluation: Evaluation,
    figures: dict[str, Any],
    chosen: dict[str, Any],
    data: dict[str, Any],
    test: SplitScores | Predictions,
    counts: Confusion | None,
    presence: Floats,
) -> None:
    path = evaluation.path
    table_path = path.with_name(f"{path.stem}.images.csv")
    chosen["look"] = record_look(evaluation.run, evaluation.data["fingerprint"], evaluation.key, path)
    artifact = {
        "schema": SCHEMA,
        **figures,
        "intervals": intervals(counts, presence, test.fractured, test.groups, evaluation.resamples, evaluation.seed),
        "tta_mode": evaluation.tta,
        "selection": {"selected_on": "val", "optimism": None, **chosen, **evaluation.selection, "key": evaluation.key},
        "data": {**data, **evaluation.data, **_record(evaluation.run)},
        "provenance": {
            "checkpoints": list(evaluation.checkpoints),
            "config_sha256": file_sha256(evaluation.run / CONFIG),
            **evaluation.provenance,
            "evaluation": computed(evaluation.device, time.monotonic() - evaluation.started),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "per_image": table_path.name,
    }
    write_whole(table_path, per_image_csv(test.ids, test.fractured, counts, presence))
    write_json(path, artifact)
    print(_describe(artifact, path), flush=True)
    if counts is not None and chosen.get("gate") is not None:
        emptied, positives = presence < chosen["gate"], int(test.fractured.sum())
        print(
            f"gate {chosen['gate']:g} ({chosen['gate_source']}) empties {emptied.sum()} of {len(emptied)} masks, "
            f"{(emptied & test.fractured).sum()} of {positives} with a fracture",
            flush=True,
        )


def per_image_csv(ids: Sequence[str], fractured: Flags, counts: Confusion | None, presence: Floats) -> str:
    """One row per image. dice and iou are blank if the ground-truth mask is empty; without `counts` all mask columns
    are blank. The artifact's metrics can be computed from these rows."""
    import pandas as pd

    masks: dict[str, object] = dict.fromkeys(("dice", "iou", "tp", "fp", "fn"))
    if counts is not None:
        overlaps = {"dice": dice_per_image(counts), "iou": iou_per_image(counts)}
        shown = {name: np.where(counts.positive, np.char.mod("%.6f", values), "") for name, values in overlaps.items()}
        masks = {**shown, "tp": counts.tp, "fp": counts.fp, "fn": counts.fn}
    table = pd.DataFrame({"id": ids, "fractured": fractured.astype(int), **masks, "presence_score": presence})
    return str(table.to_csv(index=False, lineterminator="\n"))


def _describe(artifact: dict[str, Any], path: Path) -> str:
    """The figures of an artifact in three or four lines."""
    shown = ("dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "precision_pos", "recall_pos")

    def line(name: str, metrics: dict[str, float]) -> str:
        return f"{name:14}" + "  ".join(f"{key} {metrics[key]:.4f}" for key in shown if key in metrics)

    selection = artifact["selection"]
    threshold = (
        f"threshold {artifact['threshold']:g} ({selection['threshold_source']}), " if "input" in artifact else ""
    )
    return "\n".join(
        [
            clean(str(path)),
            f"{threshold}TTA {artifact['tta_mode']}, presence from {selection['presence_source']}",
            line("test", artifact),
            *([line("  input size", artifact["input"])] if "input" in artifact else []),
            line("validation", artifact["validation"]),
            look_text(selection["look"]),
        ]
    )


def _record(run: Path) -> dict[str, str]:
    """The hash of the run's data.csv, if it has one."""
    path = run / DATA
    return {"record": file_sha256(path)} if path.is_file() else {}


def _numbers(fractured: Flags) -> dict[str, int]:
    return {"num_samples": len(fractured), "num_positive": int(fractured.sum())}


def _key_of(path: Path) -> str | None:
    try:
        artifact = json.loads(path.read_text("utf-8"))
        return None if newer(artifact.get("schema"), SCHEMA) else str(artifact["selection"]["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
