"""xray-engine nnunet score: our scoring of nnU-Net's predictions, every choice made on validation.

Its own validation counts a false positive on an empty image as Dice 0 and leaves out an empty one that is right, so
that its mean Dice is neither Dice_pos nor Dice.
"""

from __future__ import annotations

import time
from pathlib import Path

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.nnunet import ScoreOptions
from engine.evaluation.artifact import Evaluation, artifact_path, selection_key, write_artifact
from engine.evaluation.choose import choose
from engine.evaluation.evaluate import check_is_file, describe, score_probabilities
from engine.nnunet.predict import open_trained, split_predictions
from engine.nnunet.tool import version

NNUNET_THRESHOLD = 0.5
"""The more probable of two classes."""


def score(options: ScoreOptions, output: Path | None = None, moved_to: Path | None = None) -> Path:
    """Score a run on its test split and write the artifact, into its folder or as `output`; the path of it. What is not
    predicted yet is predicted. `moved_to`: the new place of the run's data.

    Raises BadInput, Stopped.
    """
    options = settled(options)
    check_is_file(output)
    started = time.monotonic()
    run = open_trained(Path(options.run), options.checkpoint, moved_to)
    val, test = (split_predictions(run, split, options) for split in ("val", "test"))
    assert options.threshold is not None
    fixed = [] if options.threshold == "tuned" else [options.threshold]
    val_scores, test_scores = (score_probabilities(found, fixed) for found in (val, test))
    choice = choose(val_scores, options.threshold, options.presence, options.gate)
    asked = options.model_dump(mode="json", exclude={"run", "bootstrap"})
    key = selection_key(**asked, data=test.fingerprint)
    stem = names.artifact_stem(options.tta, options.threshold, options.presence, options.gate != "none")
    path = artifact_path(run.folder, stem, key, output)
    evaluation = Evaluation(
        run.folder,
        path,
        key,
        started,
        options.tta,
        selection={"asked": asked},
        data={"split": "test", "fingerprint": test.fingerprint},
        checkpoints=[{"path": relative_to_file(run.checkpoint, path), "sha256": run.sha256}],
        device=test.device,
        resamples=options.bootstrap,
        seed=run.config.seed,
        provenance={"nnunetv2": version(), "trainer": run.config.training.trainer_class},
    )
    artifact = write_artifact(evaluation, val_scores, test_scores, choice)
    print(describe(artifact, path), flush=True)
    return path


def settled(options: ScoreOptions) -> ScoreOptions:
    """The options without what may be left open. Raises BadInput for a threshold tuned on masks, or a presence score
    that nnU-Net has not got."""
    if options.presence == "cls":
        raise BadInput("--presence cls: nnU-Net has no such head; give auto, max, mean, topk_mean or pred_area")
    if not options.masks:
        return options.model_copy(update={"threshold": options.threshold or "tuned"})
    if options.threshold not in (None, NNUNET_THRESHOLD):
        raise BadInput(f"--threshold {options.threshold}: a mask has none; leave it out, or --masks")
    if options.presence not in ("auto", "pred_area"):
        raise BadInput(f"--presence {options.presence}: a mask has only its area; give pred_area, or leave out --masks")
    return options.model_copy(update={"threshold": NNUNET_THRESHOLD, "presence": "pred_area"})
