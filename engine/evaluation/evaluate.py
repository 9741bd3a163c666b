"""`xray-engine evaluate`: predict validation and test, make every choice on validation, score test once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.contract import names
from engine.contract.config import EvaluateOptions, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.text import clean
from engine.data.data_record import read_images
from engine.data.manifest import Sample, read_manifest, with_window
from engine.data.overlap import Overlap, check_split, find_overlap, mark_of, report, training_chain
from engine.data.window import report_missing
from engine.evaluation.artifact import Evaluation, artifact_path, selection_key, write_artifact, write_presence_artifact
from engine.evaluation.choose import GRID, choose
from engine.evaluation.predictions import Predictions, predict, predict_split
from engine.evaluation.presence import HEAD
from engine.evaluation.run import Run, open_run, resolve_tta
from engine.evaluation.scores import SplitScores, score_split


def evaluate(
    options: EvaluateOptions, *, manifest: Path | None = None, output: Path | None = None, allow_overlap: bool = False
) -> Path:
    """Score a run and write its artifact; returns the artifact's path. With `manifest` and `output` the run is scored
    on that data (its test split, else all of it) into `output`; choices are still made on its own validation split.
    `manifest` without `output` is the new path of the run's own data. `allow_overlap`: that data may hold images that
    the run was trained on. Raises BadInput, Stopped."""
    check_is_file(output)
    run = open_run(Path(options.run), options.checkpoint, manifest if output is None else None)
    started = time.monotonic()
    options = options.model_copy(update={"tta": resolve_tta(options.tta, [run])})
    if run.is_classifier:
        _check_has_no_masks(options)
    if output is None or manifest is None:
        external, split = {}, "test"
        overlaps = _find_overlaps(run, None, (), allow_overlap)
        val, test = (predict_split(run, which, options.tta, options.batch_size) for which in ("val", "test"))
    else:
        external = {"manifest": relative_to_file(manifest, output)}
        samples = with_window(read_manifest(manifest), run.samples("val")[0].window)  # the run's own
        tests = [sample for sample in samples if sample.split == "test"]
        split = "test" if tests else "all"
        overlaps = _find_overlaps(run, manifest, tests or samples, allow_overlap)
        val = predict_split(run, "val", options.tta, options.batch_size)
        test = predict(run, tests or samples, manifest, options.tta, options.batch_size)
    report_missing((*val.samples, *test.samples))
    choices = ("tta", "checkpoint") if run.is_classifier else ("tta", "threshold", "presence", "gate", "checkpoint")
    request = {name: getattr(options, name) for name in choices}
    key = selection_key(**request, data=test.fingerprint)
    threshold = None if run.is_classifier else options.threshold
    stem = names.artifact_stem(options.tta, threshold, options.presence, options.gate != "none")
    path = artifact_path(run.folder, stem, key, output)
    evaluation = Evaluation(
        run.folder,
        path,
        key,
        started,
        options.tta,
        selection={"asked": request},
        data={"split": split, "fingerprint": test.fingerprint, **external, **mark_of(overlaps, path)},
        checkpoints=[{"path": str(run.checkpoint.relative_to(run.folder)), "sha256": run.sha256}],
        device=test.device,
        resamples=options.bootstrap,
        seed=run.config.seed,
        provenance={"training": run.training},
    )
    if run.is_classifier:
        write_presence_artifact(evaluation, val, test)
    else:
        fixed = [] if options.threshold == "tuned" else [float(options.threshold)]
        val_scores = score_maps(val, fixed)
        loss = run.config.loss.map_presence if isinstance(run.config, TrainConfig) else None
        trained = loss.source if loss is not None and loss.weight else None
        choice = choose(val_scores, options.threshold, options.presence, options.gate, trained)
        write_artifact(evaluation, val_scores, score_maps(test, fixed), choice)
    return path


def _find_overlaps(run: Run, manifest: Path | None, samples: Sequence[Sample], allow: bool) -> list[Overlap]:
    """The overlaps that mark the artifact: those of the run's own training, and those of the `samples` of an external
    manifest with its training images. Raises BadInput for the latter, unless they are allowed."""
    overlaps = check_split([(run.folder, run.config)], clean(str(run.folder)), None)
    if manifest is None:
        return overlaps
    images = read_images(samples, manifest if run.config.data.cache else None)
    external = find_overlap(images, [training_chain(run.folder, run.config)], own_split=False)
    expected = None if allow else "give images that no training used"
    report(external, f"--manifest {clean(str(manifest))}", f"{len(samples)} images", expected)
    return [*overlaps, *external]


def check_is_file(output: Path | None) -> None:
    """Raises BadInput where --output names a folder."""
    if output is not None and output.is_dir():
        raise BadInput(f"--output {clean(str(output))}: is a folder; give a file")


def score_maps(predicted: Predictions, fixed: Sequence[float]) -> SplitScores:
    """Pixel counts and presence scores of a split, at the grid's thresholds and at the `fixed` ones."""
    thresholds, what = np.unique(np.concatenate([GRID, fixed])), predicted.samples[0].split
    content, size, keep_aspect = predicted.content, predicted.size, predicted.keep_aspect
    return score_split(predicted.samples, content, size, keep_aspect, thresholds, predicted.presence, what)


def _check_has_no_masks(options: EvaluateOptions) -> None:
    """Raises BadInput for a choice that does not apply to a classifier."""
    what = f"{clean(options.run)} is a classifier"
    if options.threshold != "tuned":
        raise BadInput(f"--threshold {options.threshold:g}: {what}, and has no mask; leave it out")
    if options.gate != "none":
        raise BadInput(f"--gate {options.gate}: {what}, and has no mask to empty; leave it out")
    if options.presence not in ("auto", HEAD):
        raise BadInput(f"--presence {options.presence}: {what}, and has no probability map; give auto or {HEAD}")
