"""xray-engine blend: chosen jointly on validation, applied once to test."""

from __future__ import annotations

import time
from pathlib import Path

from engine.blending.members import Members, mix, open_members
from engine.blending.search import Found, search, threshold_grid
from engine.contract import names
from engine.contract.config import BlendConfig
from engine.contract.files import file_sha256, relative_to_file
from engine.contract.load import save_config
from engine.contract.text import clean
from engine.data.geometry import Probabilities
from engine.evaluation.artifact import artifact_path, selection_key, write_artifact
from engine.evaluation.choose import Choice
from engine.evaluation.evaluate import describe
from engine.evaluation.metrics import presence_threshold
from engine.evaluation.scores import SplitScores, score_split
from engine.evaluation.trained import open_run

BATCH_SIZE = 16


def blend(config: BlendConfig, folder: Path) -> Path:
    """Blend the members into the run folder; the path of the artifact.

    Raises BadInput where members do not fit together, before anything is written.
    """
    started = time.monotonic()
    runs = [open_run(Path(member)) for member in config.members]
    val, test = (open_members(runs, split, config.tta, BATCH_SIZE) for split in ("val", "test"))
    found = search(val, config)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / names.CONFIG)
    val_scores = _score(val, found, config, "val")
    choice = _choice(found, val_scores)
    key = selection_key(config=config.model_dump(mode="json", exclude={"members"}), data=test.parts[0].fingerprint)
    path = artifact_path(folder, names.artifact_stem(config.tta, "tuned", "auto", gated=False), key)
    artifact = write_artifact(
        path,
        key=key,
        val=val_scores,
        test=_score(test, found, config, "test"),
        choice=choice,
        tta=config.tta,
        selection={
            "members": [relative_to_file(run.folder, path) for run in runs],
            "weights": found.weights,
            "presence_weights": found.presence_weights,
            "objective": config.objective,
        },
        data={"split": "test", "fingerprint": test.parts[0].fingerprint},
        provenance={
            "checkpoints": [{"path": relative_to_file(run.checkpoint, path), "sha256": run.sha256} for run in runs],
            "config_sha256": file_sha256(folder / names.CONFIG),
            "device": test.parts[0].device,
            "seconds": round(time.monotonic() - started, 2),
        },
        resamples=config.bootstrap,
        seed=config.seed,
    )
    print(_describe_choice(config, found))
    print(describe(artifact, path), flush=True)
    return path


def _score(members: Members, found: Found, config: BlendConfig, what: str) -> SplitScores:
    """The chosen mixture's scores on a split."""

    def mixed(index: int, height: int, width: int) -> Probabilities:
        return mix(members.contents(index, height, width), found.weights)

    largest = members.largest
    presence = None if found.presence_weights is None else members.mixed_presence(found.presence_weights)
    thresholds = threshold_grid(config.threshold_step)
    return score_split(members.samples, mixed, largest.size, largest.keep_aspect, thresholds, presence, what)


def _choice(found: Found, val: SplitScores) -> Choice:
    place = int(val.thresholds.searchsorted(found.threshold))
    scores = val.presence_scores(found.presence_source, place)
    return Choice(
        threshold=found.threshold,
        place=place,
        threshold_source="val",
        presence_source=found.presence_source,
        gate=None,
        gate_source=None,
        presence_cut=presence_threshold(scores, val.fractured),
    )


def _describe_choice(config: BlendConfig, found: Found) -> str:
    weights = ", ".join(
        f"{clean(Path(member).name)} {weight:.2f}" for member, weight in zip(config.members, found.weights, strict=True)
    )
    heads = (
        "" if found.presence_weights is None else f" (weights {', '.join(f'{w:.2f}' for w in found.presence_weights)})"
    )
    return f"weights: {weights}; presence from {found.presence_source}{heads}"
