"""`xray-engine blend`: weights, threshold and presence chosen jointly on validation, applied once to test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.blending.members import Members, mix, open_member, open_members
from engine.blending.search import Found, search, threshold_grid
from engine.contract import names
from engine.contract.config import BlendConfig
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.load import apply_overrides, load_config, save_config, validate
from engine.contract.text import clean
from engine.data.resize import Probabilities
from engine.evaluation.artifact import Evaluation, artifact_path, selection_key, write_artifact
from engine.evaluation.choose import Choice
from engine.evaluation.evaluate import describe
from engine.evaluation.metrics import presence_threshold
from engine.evaluation.predictions import NnunetPredictions
from engine.evaluation.run import Run, open_run
from engine.evaluation.scores import SplitScores, score_split

BATCH_SIZE = 16

MIXED = "mixed"
"""The presence score that the search chose, as it came out of the mixing."""


def blend(config: BlendConfig, folder: Path) -> Path:
    """Blend the members into the run folder; the path of the artifact.

    Raises BadInput where members do not fit together, before anything is written.
    """
    started = time.monotonic()
    runs = [open_member(Path(member)) for member in config.members]
    presence_run = None if config.presence_run is None else open_run(Path(config.presence_run))
    val, test = (open_members(runs, split, config.tta, BATCH_SIZE, presence_run) for split in ("val", "test"))
    found = search(val, config)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / names.CONFIG)
    val_scores = _score(val, found, config, "val")
    choice = _choice(found, val_scores)
    asked = config.model_dump(mode="json", exclude={"members", "presence_run"})
    key = selection_key(config=asked, data=test.parts[0].fingerprint)
    path = artifact_path(folder, names.artifact_stem(config.tta, "tuned", "auto", gated=False), key)
    evaluation = Evaluation(
        folder,
        path,
        key,
        started,
        config.tta,
        selection={
            "members": [relative_to_file(run.folder, path) for run in runs],
            "member_tta": [run.view if isinstance(run, NnunetPredictions) else config.tta for run in runs],
            "weights": found.weights,
            "presence_source": found.presence_source,
            "presence_weights": found.presence_weights,
            "member_presence": None if found.presence_weights is None else val.own_sources,
            **_fusion(found, presence_run, path),
            "objective": config.objective,
        },
        data={"split": "test", "fingerprint": test.parts[0].fingerprint},
        checkpoints=[
            {"path": relative_to_file(run.checkpoint, path), "sha256": run.sha256}
            for run in (*runs, *([presence_run] if presence_run else []))
        ],
        device=test.parts[0].device,
        resamples=config.bootstrap,
        seed=config.seed,
    )
    artifact = write_artifact(evaluation, val_scores, _score(test, found, config, "test"), choice)
    print(_describe_choice(config, found, val.own_sources))
    print(describe(artifact, path), flush=True)
    return path


def _score(members: Members, found: Found, config: BlendConfig, what: str) -> SplitScores:
    """The chosen mixture's scores on a split, its presence scores among them as `MIXED`."""

    def mixture(index: int, height: int, width: int) -> Probabilities:
        return mix(members.contents(index, height, width), found.weights)

    largest = members.largest
    heads = None if found.presence_weights is None else np.array(found.presence_weights) @ members.own_presence()
    thresholds = threshold_grid(config.threshold_step)
    scores = score_split(members.samples, mixture, largest.size, largest.keep_aspect, thresholds, heads, what)
    own = scores.presence_scores(found.presence_source, _place(scores, found))
    return replace(scores, presence={**scores.presence, MIXED: found.presence(own, members.other)})


def _choice(found: Found, val: SplitScores) -> Choice:
    place = _place(val, found)
    return Choice(
        threshold=found.threshold,
        place=place,
        threshold_source="val",
        presence_source=MIXED,
        gate=None,
        gate_source=None,
        presence_cut=presence_threshold(val.presence_scores(MIXED, place), val.fractured),
    )


def _place(scores: SplitScores, found: Found) -> int:
    return int(scores.thresholds.searchsorted(found.threshold))


def _fusion(found: Found, presence_run: Run | None, path: Path) -> dict[str, Any]:
    """What the artifact says of the presence score that is mixed in; nothing where there is none."""
    if presence_run is None:
        return {}
    return {
        "presence_run": relative_to_file(presence_run.folder, path),
        "gamma": found.gamma,
        "presence_scale": found.scale,
    }


def _describe_choice(config: BlendConfig, found: Found, own_sources: Sequence[str]) -> str:
    members = [clean(Path(member).name) for member in config.members]
    weights = ", ".join(f"{member} {weight:.2f}" for member, weight in zip(members, found.weights, strict=True))
    presence = found.presence_source
    if found.presence_weights is not None:
        own = zip(own_sources, members, found.presence_weights, strict=True)
        presence = ", ".join(f"{source} of {member} {weight:.2f}" for source, member, weight in own)
    said = f"weights: {weights}; presence from {presence}"
    if config.presence_run is not None:
        said += f"; gamma {found.gamma:.2f} from {clean(Path(config.presence_run).name)}"
    return said


def prepare_blend(
    config: Path | None, overrides: Sequence[str], members: Sequence[str] | None, tta: str | None, run: Path | None
) -> tuple[BlendConfig, Path]:
    """The resolved config, its members absolute, and the run folder, which is free or holds this very blend.

    Nothing is written yet. Raises BadInput.
    """
    given = _config(config, overrides)
    if members:
        given = given.model_copy(update={"members": tuple(str(Path(member).resolve()) for member in members)})
    if tta:
        given = given.model_copy(update={"tta": tta})
    if given.presence_run:
        given = given.model_copy(update={"presence_run": str(Path(given.presence_run).resolve())})
    if len(given.members) < 2 and not (given.members and given.presence_run):
        raise BadInput("members: a blend needs two runs or more, or one and presence_run; give --members runs/A runs/B")
    if len(set(given.members)) < len(given.members):
        raise BadInput("members: a run stands there twice; each once is right")
    parts = (*given.members, *([given.presence_run] if given.presence_run else []))
    folder = run or Path(names.RUNS) / (given.name or "blend_" + "_".join(Path(part).name for part in parts))
    if (folder / names.CONFIG).exists():
        if load_config(folder / names.CONFIG) != given:
            raise BadInput(f"{clean(str(folder))}: holds another run; give another --run")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{clean(str(folder))}: not an empty folder; give another --run")
    return given, folder


def _config(path: Path | None, overrides: Sequence[str]) -> BlendConfig:
    if path is None:
        values: dict[str, object] = {}
        apply_overrides(values, overrides)
        return validate(BlendConfig, values, "xray-engine blend")
    config = load_config(path, overrides)
    if not isinstance(config, BlendConfig):
        raise BadInput(f"{clean(str(path))}: kind: {config.kind}; blend needs kind: blend")
    return config
