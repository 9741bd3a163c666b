"""`xray-engine nnunet score`: our metrics of nnU-Net's predictions, with every choice made on validation.

nnU-Net's own validation counts a false positive on an empty image as Dice 0 and leaves out an empty image that is
predicted empty, so its mean Dice is neither Dice_pos nor Dice.
"""

from __future__ import annotations

import time
from importlib import metadata
from pathlib import Path

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.nnunet import ScoreOptions
from engine.evaluation.artifact import Evaluation, artifact_path, selection_key, write_artifact
from engine.evaluation.choose import choose
from engine.evaluation.evaluate import check_is_file, score_maps
from engine.nnunet.predict import open_trained, split_predictions

NNUNET_THRESHOLD = 0.5
"""nnU-Net takes the more probable of two classes."""


def score(options: ScoreOptions, output: Path | None = None, moved_to: Path | None = None) -> Path:
    """Score a run on its test split and write the artifact into its folder or as `output`; returns the artifact's path.
    Missing predictions are made first. `moved_to`: the new path of the run's manifest. Raises BadInput, Stopped."""
    options = settled(options)
    check_is_file(output)
    started = time.monotonic()
    run = open_trained(Path(options.run), options.checkpoint, moved_to)
    val, test = (split_predictions(run, split, options) for split in ("val", "test"))
    assert options.threshold is not None
    fixed = [] if options.threshold == "tuned" else [options.threshold]
    val_scores, test_scores = (score_maps(predicted, fixed) for predicted in (val, test))
    choice = choose(val_scores, options.threshold, options.presence, options.gate)
    request = options.model_dump(mode="json", exclude={"run", "bootstrap"})
    key = selection_key(**request, data=test.fingerprint)
    stem = names.artifact_stem(options.tta, options.threshold, options.presence, options.gate != "none")
    path = artifact_path(run.folder, stem, key, output)
    try:
        version = metadata.version("nnunetv2")
    except metadata.PackageNotFoundError:
        version = None  # its commands are in another environment
    evaluation = Evaluation(
        run.folder,
        path,
        key,
        started,
        options.tta,
        selection={"asked": request},
        data={"split": "test", "fingerprint": test.fingerprint},
        checkpoints=[{"path": relative_to_file(run.checkpoint, path), "sha256": run.sha256}],
        device=test.device,
        resamples=options.bootstrap,
        seed=run.config.seed,
        provenance={"nnunetv2": version, "trainer": run.config.training.trainer_class},
    )
    write_artifact(evaluation, val_scores, test_scores, choice)
    return path


def settled(options: ScoreOptions) -> ScoreOptions:
    """The options with defaults filled in. Raises BadInput for a threshold with masks, or a presence score that nnU-Net
    lacks."""
    if options.presence == "cls":
        raise BadInput("--presence cls: nnU-Net has no head; give auto, max, mean, topk_mean or pred_area")
    if not options.masks:
        return options.model_copy(update={"threshold": options.threshold or "tuned"})
    if options.threshold not in (None, NNUNET_THRESHOLD):
        raise BadInput(f"--threshold {options.threshold}: masks have no threshold; leave it out, or leave out --masks")
    if options.presence not in ("auto", "pred_area"):
        raise BadInput(
            f"--presence {options.presence}: masks have only their area; give pred_area, or leave out --masks"
        )
    return options.model_copy(update={"threshold": NNUNET_THRESHOLD, "presence": "pred_area"})
