"""`xray-engine evaluate`: predict validation and test, make every choice on validation, score test once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract import names
from engine.contract.config import EvaluateOptions, LearnConfig, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.text import clean
from engine.data.manifest import read_manifest
from engine.evaluation.artifact import (
    Evaluation,
    artifact_path,
    selection_key,
    write_artifact,
    write_presence_artifact,
)
from engine.evaluation.choose import GRID, choose
from engine.evaluation.predictions import (
    PresenceScores,
    Probabilities,
    classifier_scores,
    probabilities,
    split_presence_scores,
    split_probabilities,
)
from engine.evaluation.presence import HEAD
from engine.evaluation.run import Run, open_run
from engine.evaluation.scores import SplitScores, score_split


def evaluate(options: EvaluateOptions, *, manifest: Path | None = None, output: Path | None = None) -> Path:
    """Score a run and write its artifact; returns the artifact's path.

    With `manifest` and `output` the run is scored on that data (its test split, or all of it where it has no test
    split) into `output`; choices are still made on the run's own validation split. `manifest` without `output` is the
    new path of the run's own data. Raises BadInput, Stopped.
    """
    check_is_file(output)
    run = open_run(Path(options.run), options.checkpoint, manifest if output is None else None)
    external = manifest if output is not None else None
    started = time.monotonic()
    if run.is_classifier:
        _check_has_no_masks(options)
    val, (split, test) = _predict_split(run, "val", options), _predict_test(run, options, external)
    choices = ("tta", "checkpoint") if run.is_classifier else ("tta", "threshold", "presence", "gate", "checkpoint")
    asked = {name: getattr(options, name) for name in choices}
    key = selection_key(**asked, data=test.fingerprint)
    threshold = None if run.is_classifier else options.threshold
    stem = names.artifact_stem(options.tta, threshold, options.presence, options.gate != "none")
    path = artifact_path(run.folder, stem, key, output)
    manifest_entry = {} if external is None else {"manifest": relative_to_file(external, path)}
    evaluation = Evaluation(
        run.folder,
        path,
        key,
        started,
        options.tta,
        selection={"asked": asked},
        data={"split": split, "fingerprint": test.fingerprint, **manifest_entry},
        checkpoints=[run.provenance()],
        device=test.device,
        resamples=options.bootstrap,
        seed=run.config.seed,
    )
    if isinstance(val, Probabilities) and isinstance(test, Probabilities):
        artifact = _score_masks(evaluation, run, options, val, test)
    else:
        assert isinstance(val, PresenceScores)
        assert isinstance(test, PresenceScores)
        artifact = write_presence_artifact(evaluation, val, test)
    print(describe(artifact, path), flush=True)
    return path


def _score_masks(
    evaluation: Evaluation, run: Run, options: EvaluateOptions, val: Probabilities, test: Probabilities
) -> dict[str, Any]:
    """Make the choices on validation, then score the test split."""
    fixed = [] if options.threshold == "tuned" else [float(options.threshold)]
    val_scores = score_probabilities(val, fixed)
    choice = choose(val_scores, options.threshold, options.presence, options.gate, _trained_score(run.config))
    return write_artifact(evaluation, val_scores, score_probabilities(test, fixed), choice)


def check_is_file(output: Path | None) -> None:
    """Raises BadInput where --output names a folder."""
    if output is not None and output.is_dir():
        raise BadInput(f"--output {clean(str(output))}: is a folder; give a file")


def score_probabilities(predicted: Probabilities, fixed: Sequence[float]) -> SplitScores:
    """Pixel counts and presence scores of a split, at the grid's thresholds and at the `fixed` ones."""
    thresholds = np.unique(np.concatenate([GRID, fixed]))
    what = predicted.samples[0].split
    return score_split(
        predicted.samples,
        predicted.content,
        predicted.size,
        predicted.keep_aspect,
        thresholds,
        predicted.presence,
        what,
    )


def describe(artifact: dict[str, Any], path: Path) -> str:
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
        ]
    )


def _trained_score(config: LearnConfig) -> str | None:
    """The map's presence score that a presence loss trained; None without such a loss."""
    loss = config.loss.map_presence if isinstance(config, TrainConfig) else None
    return loss.source if loss is not None and loss.weight else None


def _check_has_no_masks(options: EvaluateOptions) -> None:
    """Raises BadInput for a choice that does not apply to a classifier."""
    what = f"{clean(options.run)} is a classifier"
    if options.threshold != "tuned":
        raise BadInput(f"--threshold {options.threshold:g}: {what}, and has no mask; leave it out")
    if options.gate != "none":
        raise BadInput(f"--gate {options.gate}: {what}, and has no mask to empty; leave it out")
    if options.presence not in ("auto", HEAD):
        raise BadInput(f"--presence {options.presence}: {what}, and has no probability map; give auto or {HEAD}")


def _predict_split(run: Run, split: str, options: EvaluateOptions) -> Probabilities | PresenceScores:
    predict = split_presence_scores if run.is_classifier else split_probabilities
    return predict(run, split, options.tta, options.batch_size)


def _predict_test(
    run: Run, options: EvaluateOptions, manifest: Path | None
) -> tuple[str, Probabilities | PresenceScores]:
    """(scored split, predictions) of the run's own test split, or of an external manifest's; `all`: it has none."""
    if manifest is None:
        return "test", _predict_split(run, "test", options)
    samples = read_manifest(manifest)
    tests = [sample for sample in samples if sample.split == "test"]
    predict = classifier_scores if run.is_classifier else probabilities
    return "test" if tests else "all", predict(run, tests or samples, manifest, options.tta, options.batch_size, None)
