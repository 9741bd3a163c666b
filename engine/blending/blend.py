"""`xray-engine blend`: weights, threshold and presence chosen jointly on validation, applied once to test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.blending.members import Members, mix, open_member, open_members
from engine.blending.search import SearchResult, search, threshold_grid
from engine.contract import names
from engine.contract.config import BlendConfig
from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file
from engine.contract.load import apply_overrides, load_config, save_config, validate
from engine.contract.text import clean
from engine.data.overlap import check_split, mark_of
from engine.data.resize import Probabilities
from engine.evaluation.artifact import Evaluation, artifact_path, selection_key, write_artifact
from engine.evaluation.choose import Choice
from engine.evaluation.metrics import presence_threshold
from engine.evaluation.predictions import NnunetPredictions
from engine.evaluation.run import Run, open_run, resolve_tta
from engine.evaluation.scores import SplitScores, score_split

BATCH_SIZE = 16

MIXED = "mixed"
"""Name of the chosen presence score after mixing."""


def blend(config: BlendConfig, folder: Path, *, allow_overlap: bool = False) -> Path:
    """Blend the members into the run folder; returns the artifact's path. Raises BadInput where members do not fit
    together, or were trained on the validation or test images without `allow_overlap`, before anything is written."""
    started = time.monotonic()
    runs = [open_member(Path(member)) for member in config.members]
    presence_run = None if config.presence_run is None else open_run(Path(config.presence_run))
    tta = resolve_tta(config.tta, [run for run in (*runs, presence_run) if isinstance(run, Run)])
    folders = [part.folder for part in (*runs, *([presence_run] if presence_run else []))]
    expected = None if allow_overlap else "give members of the same split"
    overlaps = check_split([(part, load_config(part / names.CONFIG)) for part in folders], "members", expected)
    val, test = (open_members(runs, split, tta, BATCH_SIZE, presence_run) for split in ("val", "test"))
    result = search(val, config)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / names.CONFIG)
    val_scores = _score(val, result, config, "val")
    index = int(val_scores.thresholds.searchsorted(result.threshold))
    cut = presence_threshold(val_scores.presence_scores(MIXED, index), val_scores.fractured)
    choice = Choice(result.threshold, index, "val", MIXED, gate=None, gate_source=None, presence_cut=cut)
    request = config.model_dump(mode="json", exclude={"members", "presence_run"}) | {"tta": tta}
    key = selection_key(config=request, data=test.parts[0].fingerprint)
    path = artifact_path(folder, names.artifact_stem(tta, "tuned", "auto", gated=False), key)
    fusion: dict[str, object] = {}
    if presence_run is not None:
        presence_path = relative_to_file(presence_run.folder, path)
        fusion = {"presence_run": presence_path, "gamma": result.gamma, "presence_scale": result.scale}
    evaluation = Evaluation(
        folder,
        path,
        key,
        started,
        tta,
        selection={
            "members": [relative_to_file(run.folder, path) for run in runs],
            "member_tta": [run.view if isinstance(run, NnunetPredictions) else tta for run in runs],
            "weights": result.weights,
            "presence_source": result.presence_source,
            "presence_weights": result.presence_weights,
            "member_presence": None if result.presence_weights is None else val.own_sources,
            **fusion,
            "objective": config.objective,
        },
        data={"split": "test", "fingerprint": test.parts[0].fingerprint, **mark_of(overlaps, path)},
        checkpoints=[
            {"path": relative_to_file(run.checkpoint, path), "sha256": run.sha256}
            for run in (*runs, *([presence_run] if presence_run else []))
        ],
        device=test.parts[0].device,
        resamples=config.bootstrap,
        seed=config.seed,
        provenance={"training": [getattr(run, "training", None) for run in (*runs, *filter(None, [presence_run]))]},
    )
    print(_describe_choice(config, result, val.own_sources))
    write_artifact(evaluation, val_scores, _score(test, result, config, "test"), choice)
    return path


def _score(members: Members, result: SearchResult, config: BlendConfig, what: str) -> SplitScores:
    """The chosen mixture's scores on a split, with its presence scores as `MIXED`."""

    def mixture(index: int, height: int, width: int) -> Probabilities:
        return mix(members.contents(index, height, width), result.weights)

    largest = members.largest
    weights = result.presence_weights
    own_presence = None if weights is None else np.array(weights) @ members.own_presence()
    thresholds = threshold_grid(config.threshold_step)
    scores = score_split(members.samples, mixture, largest.size, largest.keep_aspect, thresholds, own_presence, what)
    own = scores.presence_scores(result.presence_source, int(thresholds.searchsorted(result.threshold)))
    return replace(scores, presence={**scores.presence, MIXED: result.presence(own, members.other)})


def _describe_choice(config: BlendConfig, result: SearchResult, own_sources: Sequence[str]) -> str:
    members = [clean(Path(member).name) for member in config.members]
    weights = ", ".join(f"{member} {weight:.2f}" for member, weight in zip(members, result.weights, strict=True))
    presence = result.presence_source
    if result.presence_weights is not None:
        own = zip(own_sources, members, result.presence_weights, strict=True)
        presence = ", ".join(f"{source} of {member} {weight:.2f}" for source, member, weight in own)
    line = f"weights: {weights}; presence from {presence}"
    if config.presence_run is not None:
        line += f"; gamma {result.gamma:.2f} from {clean(Path(config.presence_run).name)}"
    return line


def prepare_blend(
    config: Path | None, overrides: Sequence[str], members: Sequence[str] | None, tta: str | None, run: Path | None
) -> tuple[BlendConfig, Path]:
    """The resolved config, its members absolute, and the run folder, which is free or holds the same blend. Nothing is
    written yet. Raises BadInput."""
    if config is None:
        values: dict[str, object] = {}
        apply_overrides(values, overrides)
        resolved = validate(BlendConfig, values, "xray-engine blend")
    else:
        loaded = load_config(config, overrides)
        if not isinstance(loaded, BlendConfig):
            raise BadInput(f"{clean(str(config))}: kind: {loaded.kind}; blend needs kind: blend")
        resolved = loaded
    if members:
        resolved = resolved.model_copy(update={"members": tuple(str(Path(member).resolve()) for member in members)})
    if tta:
        resolved = resolved.model_copy(update={"tta": tta})
    if resolved.presence_run:
        resolved = resolved.model_copy(update={"presence_run": str(Path(resolved.presence_run).resolve())})
    if len(resolved.members) < 2 and not (resolved.members and resolved.presence_run):
        raise BadInput("members: expected two runs or more, or one and presence_run; give --members runs/A runs/B")
    if len(set(resolved.members)) < len(resolved.members):
        raise BadInput("members: a run appears twice")
    parts = (*resolved.members, *([resolved.presence_run] if resolved.presence_run else []))
    folder = run or Path(names.RUNS) / (resolved.name or "blend_" + "_".join(Path(part).name for part in parts))
    if (folder / names.CONFIG).exists():
        before = load_config(folder / names.CONFIG)
        if before != resolved:
            what = "another run; give"
            if isinstance(before, BlendConfig) and before == resolved.model_copy(update={"tta": before.tta}):
                what = f"this blend with --tta {before.tta}; give that, or"
            raise BadInput(f"{clean(str(folder))}: holds {what} another --run")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{clean(str(folder))}: not an empty folder; give another --run")
    return resolved, folder
