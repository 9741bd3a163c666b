"""One launch that queues several jobs: seeds of a group, a small sweep, an evaluation behind each training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.model.request import EvaluateRequest, TrainRequest, request_of

MOST = 64
"""Trainings of one launch: more are a typing error sooner than a wish."""
FIELDS = 3
"""Fields of a sweep."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds in `42,1337,2025`. Raises BadInput."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) <= 10 for word in words):
        raise BadInput(f"seeds: {clean(text)[:60]}: give whole numbers with commas between, such as 42,1337")
    seeds = tuple(map(int, words))
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"seeds: {clean(text)[:60]}: names a seed twice")
    return seeds


def parse_sweep(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The fields and values of `training.lr=1e-3,3e-4`, one text a field. Raises BadInput."""
    sweep: dict[str, tuple[str, ...]] = {}
    for text in texts:
        field, sign, values = text.partition("=")
        found = tuple(value.strip() for value in values.split(","))
        if not sign or not re.fullmatch(r"[a-z_][a-z0-9_.]*", field) or not all(found):
            raise BadInput(f"sweep: {clean(text)[:60]}: give a field with values, such as training.lr=1e-3,3e-4")
        if field in sweep or len(set(found)) < len(found):
            raise BadInput(f"sweep: {clean(text)[:60]}: names something twice")
        sweep[field] = found
    if len(sweep) > FIELDS:
        raise BadInput(f"sweep: {len(sweep)} fields; give at most {FIELDS}, a larger search is no small sweep")
    return sweep


def trainings(spec: JobSpec, seeds: Sequence[int], sweep: Mapping[str, Sequence[str]]) -> list[JobSpec]:
    """The training once for every combination, in runs of their own: NAME_seeds/seed_42, NAME_sweep/lr_1e-3, or
    NAME_sweep/lr_1e-3_seeds/seed_42. The training itself where there is neither. Raises BadInput."""
    if not (seeds or sweep):
        return [spec]
    request = request_of(spec)
    if not isinstance(request, TrainRequest):
        raise BadInput(f"{spec.kind}: only a training has seeds or a sweep")
    combinations = [tuple(zip(sweep, values, strict=True)) for values in product(*sweep.values())]
    if len(combinations) * max(1, len(seeds)) > MOST:
        raise BadInput(f"that would be {len(combinations) * max(1, len(seeds))} trainings; at most {MOST} at once")
    found = []
    for values in combinations:
        name = f"{spec.run}_sweep/{_named(values)}" if values else spec.run
        for seed in seeds or (None,):
            run = name if seed is None else f"{name}_seeds/seed_{seed}"
            more = values if seed is None else (*values, ("seed", str(seed)))
            overrides = (*request.overrides, *(f"{field}={value}" for field, value in more))
            found.append(replace(spec, run=run, request=replace(request, overrides=overrides)))
    if len({each.run for each in found}) < len(found):
        raise BadInput(
            "sweep: two of its values make the same name; write them so that they differ in letters or digits"
        )
    return found


def evaluation_of(training: Job, runs: Path) -> JobSpec:
    """Its test artifact as the board ranks it: hv, threshold tuned on validation; once the training has succeeded."""
    run = training.spec.run
    request = EvaluateRequest(runs=str(runs), tta="hv", threshold="tuned")
    gpu = training.spec.gpu if "," not in training.spec.gpu else "auto"
    return JobSpec("evaluate", run, request, gpu, after=(training.id,), priority=training.spec.priority)


def planned(specs: Sequence[JobSpec], runs: Path, evaluate: bool) -> list[Job]:
    """The jobs that a launch would queue, in their order, with ids that no job has."""
    found = []
    for number, spec in enumerate(specs):
        found.append(Job(f"new {number}", spec, State.QUEUED))
        if evaluate and spec.kind == "train":
            found.append(Job(f"evaluation {number}", evaluation_of(found[-1], runs), State.QUEUED))
    return found


def _named(values: Sequence[tuple[str, str]]) -> str:
    """`lr_1e-3_image_size_512`: the last words of the fields, and the values in letters that a folder may have."""
    return "_".join(f"{field.rpartition('.')[2]}_{re.sub(r'[^0-9A-Za-z.+-]+', '-', value)}" for field, value in values)
