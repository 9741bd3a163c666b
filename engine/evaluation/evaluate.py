"""xray-engine evaluate: probabilities of validation and test, choices on the first, one score of the second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.config import EvaluateOptions
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, relative_to_file
from engine.contract.text import clean
from engine.data.manifest import Sample, read_manifest
from engine.evaluation.artifact import artifact_path, selection_key, write_artifact
from engine.evaluation.choose import choose
from engine.evaluation.probabilities import Probabilities, Run, open_run, probabilities, split_probabilities
from engine.evaluation.scores import SplitScores, score_split
from engine.evaluation.thresholds import GRID


def evaluate(options: EvaluateOptions, *, manifest: Path | None = None, output: Path | None = None) -> Path:
    """Score a run and write its artifact; the path of it. With `manifest` the run is scored on that data (its test
    split, or all of it where it has none) into `output`; choices are still made on the run's own validation split.

    Raises BadInput, Stopped.
    """
    started = time.monotonic()
    if output is not None and output.is_dir():
        raise BadInput(f"--output {clean(str(output))}: a folder; give a file")
    run = open_run(Path(options.run), options.checkpoint)
    val = split_probabilities(run, "val", options.tta, options.batch_size)
    split, test = _test_probabilities(run, options, manifest)
    fixed = [] if options.threshold == "tuned" else [float(options.threshold)]
    thresholds = np.unique(np.concatenate([GRID, fixed]))
    val_scores = _score(val, thresholds, "val")
    choice = choose(val_scores, options.threshold, options.presence, options.gate)
    test_scores = _score(test, thresholds, "test")
    asked = {name: getattr(options, name) for name in ("tta", "threshold", "presence", "gate", "checkpoint")}
    key = selection_key(**asked, data=test.fingerprint)
    if output is None:
        stem = names.artifact_stem(options.tta, options.threshold, options.presence, options.gate != "none")
        path = artifact_path(run.folder, stem, key)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        path = output
    artifact = write_artifact(
        path,
        key=key,
        val=val_scores,
        test=test_scores,
        choice=choice,
        tta=options.tta,
        selection={"asked": asked},
        data={"split": split, "fingerprint": test.fingerprint}
        | ({"manifest": relative_to_file(manifest, path)} if manifest else {}),
        provenance={
            "checkpoints": [run.provenance()],
            "config_sha256": file_sha256(run.folder / names.CONFIG),
            "device": test.device,
            "seconds": round(time.monotonic() - started, 2),
        },
        resamples=options.bootstrap,
        seed=run.config.seed,
    )
    print(describe(artifact, path), flush=True)
    return path


def describe(artifact: dict[str, Any], path: Path) -> str:
    """The figures of an artifact in four lines."""
    shown = ("dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "precision_pos", "recall_pos")

    def line(name: str, metrics: dict[str, float]) -> str:
        return f"{name:14}" + "  ".join(f"{key} {metrics[key]:.4f}" for key in shown if key in metrics)

    selection = artifact["selection"]
    return "\n".join(
        [
            clean(str(path)),
            f"threshold {artifact['threshold']:g} ({selection['threshold_source']}), TTA {artifact['tta_mode']}, "
            f"presence from {selection['presence_source']}",
            line("test", artifact),
            line("  input size", artifact["input"]),
            line("validation", artifact["validation"]),
        ]
    )


def _test_probabilities(run: Run, options: EvaluateOptions, manifest: Path | None) -> tuple[str, Probabilities]:
    """What is scored: the name of its split, and the run's probabilities."""
    if manifest is None:
        return "test", split_probabilities(run, "test", options.tta, options.batch_size)
    samples: list[Sample] = read_manifest(manifest)
    tests = [sample for sample in samples if sample.split == "test"]
    found = probabilities(run, tests or samples, manifest, options.tta, options.batch_size, None)
    return "test" if tests else "all", found


def _score(found: Probabilities, thresholds: npt.NDArray[np.float64], what: str) -> SplitScores:
    return score_split(found.samples, found.content, found.size, found.keep_aspect, thresholds, found.presence, what)
