"""xray-engine evaluate: predictions of validation and test, choices on the first, one score of the second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.config import EvaluateOptions, LearnConfig, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, relative_to_file
from engine.contract.text import clean
from engine.data.manifest import Sample, read_manifest
from engine.evaluation.artifact import artifact_path, selection_key, write_artifact, write_presence_artifact
from engine.evaluation.choose import choose
from engine.evaluation.heads import HeadScores, classifier_scores, split_head_scores
from engine.evaluation.presence import HEAD
from engine.evaluation.probabilities import Probabilities, probabilities, split_probabilities
from engine.evaluation.scores import SplitScores, score_split
from engine.evaluation.thresholds import GRID
from engine.evaluation.trained import Run, open_run


def evaluate(options: EvaluateOptions, *, manifest: Path | None = None, output: Path | None = None) -> Path:
    """Score a run and write its artifact; the path of it. With `manifest` and `output` the run is scored on that data
    (its test split, or all of it where it has none) into `output`; choices are still made on the run's own validation
    split. `manifest` alone is the new place of the run's own data.

    Raises BadInput, Stopped.
    """
    if output is not None and output.is_dir():
        raise BadInput(f"--output {clean(str(output))}: a folder; give a file")
    run = open_run(Path(options.run), options.checkpoint, manifest if output is None else None)
    other = manifest if output is not None else None
    path, artifact = (_classifier if run.is_classifier else _segmenter)(run, options, other, output)
    print(describe(artifact, path), flush=True)
    return path


def _segmenter(
    run: Run, options: EvaluateOptions, manifest: Path | None, output: Path | None
) -> tuple[Path, dict[str, Any]]:
    """Masks and presence: every choice made on validation, then the artifact."""
    started = time.monotonic()
    val = split_probabilities(run, "val", options.tta, options.batch_size)
    split, test = _test_probabilities(run, options, manifest)
    fixed = [] if options.threshold == "tuned" else [float(options.threshold)]
    thresholds = np.unique(np.concatenate([GRID, fixed]))
    val_scores = _score(val, thresholds, "val")
    choice = choose(val_scores, options.threshold, options.presence, options.gate, _trained_score(run.config))
    test_scores = _score(test, thresholds, "test")
    asked = {name: getattr(options, name) for name in ("tta", "threshold", "presence", "gate", "checkpoint")}
    key = selection_key(**asked, data=test.fingerprint)
    stem = names.artifact_stem(options.tta, options.threshold, options.presence, options.gate != "none")
    path = _place(run, stem, key, output)
    artifact = write_artifact(
        path,
        key=key,
        val=val_scores,
        test=test_scores,
        choice=choice,
        tta=options.tta,
        selection={"asked": asked},
        data=_data(split, test.fingerprint, manifest, path),
        provenance=_provenance(run, test.device, started),
        resamples=options.bootstrap,
        seed=run.config.seed,
    )
    return path, artifact


def _classifier(
    run: Run, options: EvaluateOptions, manifest: Path | None, output: Path | None
) -> tuple[Path, dict[str, Any]]:
    """Presence alone: there is nothing to choose."""
    started = time.monotonic()
    _check_has_no_masks(options)
    val = split_head_scores(run, "val", options.tta, options.batch_size)
    split, test = _test_scores(run, options, manifest)
    asked = {name: getattr(options, name) for name in ("tta", "checkpoint")}
    key = selection_key(**asked, data=test.fingerprint)
    path = _place(run, names.artifact_stem(options.tta, None, options.presence, gated=False), key, output)
    artifact = write_presence_artifact(
        path,
        key=key,
        val=val,
        test=test,
        tta=options.tta,
        selection={"asked": asked},
        data=_data(split, test.fingerprint, manifest, path),
        provenance=_provenance(run, test.device, started),
        resamples=options.bootstrap,
        seed=run.config.seed,
    )
    return path, artifact


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
    """The score of the map that the training made a presence score of."""
    loss = config.loss.map_presence if isinstance(config, TrainConfig) else None
    return loss.source if loss is not None and loss.weight else None


def _check_has_no_masks(options: EvaluateOptions) -> None:
    """Raises BadInput for a choice that a classifier has not got."""
    what = f"{clean(options.run)} is a classifier"
    if options.threshold != "tuned":
        raise BadInput(f"--threshold {options.threshold:g}: {what}, and has no mask; leave it out")
    if options.gate != "none":
        raise BadInput(f"--gate {options.gate}: {what}, and has no mask to empty; leave it out")
    if options.presence not in ("auto", HEAD):
        raise BadInput(f"--presence {options.presence}: {what}, and has no probability map; give auto or {HEAD}")


def _test_samples(manifest: Path) -> tuple[str, list[Sample]]:
    """What is scored of other data: its test split, or all of it where it has none."""
    samples: list[Sample] = read_manifest(manifest)
    tests = [sample for sample in samples if sample.split == "test"]
    return ("test", tests) if tests else ("all", samples)


def _test_probabilities(run: Run, options: EvaluateOptions, manifest: Path | None) -> tuple[str, Probabilities]:
    """What is scored: the name of its split, and the run's probabilities."""
    if manifest is None:
        return "test", split_probabilities(run, "test", options.tta, options.batch_size)
    split, samples = _test_samples(manifest)
    return split, probabilities(run, samples, manifest, options.tta, options.batch_size, None)


def _test_scores(run: Run, options: EvaluateOptions, manifest: Path | None) -> tuple[str, HeadScores]:
    """As `_test_probabilities`, of a classifier."""
    if manifest is None:
        return "test", split_head_scores(run, "test", options.tta, options.batch_size)
    split, samples = _test_samples(manifest)
    return split, classifier_scores(run, samples, manifest, options.tta, options.batch_size, None)


def _score(found: Probabilities, thresholds: npt.NDArray[np.float64], what: str) -> SplitScores:
    return score_split(found.samples, found.content, found.size, found.keep_aspect, thresholds, found.presence, what)


def _place(run: Run, stem: str, key: str, output: Path | None) -> Path:
    """Where the artifact goes."""
    if output is None:
        return artifact_path(run.folder, stem, key)
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def _data(split: str, fingerprint: str, manifest: Path | None, path: Path) -> dict[str, Any]:
    other = {} if manifest is None else {"manifest": relative_to_file(manifest, path)}
    return {"split": split, "fingerprint": fingerprint, **other}


def _provenance(run: Run, device: str, started: float) -> dict[str, Any]:
    return {
        "checkpoints": [run.provenance()],
        "config_sha256": file_sha256(run.folder / names.CONFIG),
        "device": device,
        "seconds": round(time.monotonic() - started, 2),
    }
