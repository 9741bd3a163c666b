"""Launches of several jobs: seeds, a small sweep, and an evaluation after each training."""

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
"""Maximum number of trainings in one launch: a larger number is probably a typing error."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds such as `42,1337,2025`. Raises BadInput."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) <= 10 for word in words):
        raise BadInput(f"seeds: {clean(text)[:60]}: give whole numbers separated by commas, such as 42,1337")
    seeds = tuple(map(int, words))
    if len(set(seeds)) < len(seeds):
        raise BadInput(f"seeds: {clean(text)[:60]}: names a seed twice")
    return seeds


def parse_sweep(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse fields and values, one text per field such as `training.lr=1e-3,3e-4`. Raises BadInput."""
    sweep: dict[str, tuple[str, ...]] = {}
    for text in texts:
        if ";" in text:
            raise BadInput(
                f"sweep: {clean(text)[:60]}: separate values with commas, and give --sweep once for each field"
            )
        field, sign, joined = text.partition("=")
        values = tuple(value.strip() for value in joined.split(","))
        if not sign or not re.fullmatch(r"[a-z_][a-z0-9_.]*", field) or not all(values):
            raise BadInput(f"sweep: {clean(text)[:60]}: give a field with values, such as training.lr=1e-3,3e-4")
        if field in sweep or len(set(values)) < len(values):
            raise BadInput(f"sweep: {clean(text)[:60]}: names a field or a value twice")
        sweep[field] = values
    return sweep


def trainings(spec: JobSpec, seeds: Sequence[int], sweep: Mapping[str, Sequence[str]]) -> list[JobSpec]:
    """One training per combination, in the runs NAME_seeds/seed_42, NAME_sweep/lr_1e-3 or
    NAME_sweep/lr_1e-3_seeds/seed_42; without seeds and sweep only `spec` itself. Raises BadInput."""
    if not (seeds or sweep):
        return [spec]
    request = request_of(spec)
    if not isinstance(request, TrainRequest):
        raise BadInput(f"{spec.kind}: only a training has seeds or a sweep")
    if seeds and "seed" in sweep:
        raise BadInput("sweep: seed: already set by seeds; give one of the two")
    combinations = [tuple(zip(sweep, values, strict=True)) for values in product(*sweep.values())]
    if (count := len(combinations) * max(1, len(seeds))) > MOST:
        raise BadInput(f"that would be {count} trainings; at most {MOST} at once")
    specs = []
    for values in combinations:
        name = f"{spec.run}_sweep/{_named(values)}" if values else spec.run
        for seed in seeds or (None,):
            run = name if seed is None else f"{name}_seeds/seed_{seed}"
            more = values if seed is None else (*values, ("seed", str(seed)))
            overrides = (*request.overrides, *(f"{field}={value}" for field, value in more))
            specs.append(replace(spec, run=run, request=replace(request, overrides=overrides)))
    if len({training.run for training in specs}) < len(specs):
        raise BadInput("sweep: two values make the same run name; expected values that differ in letters or digits")
    return specs


def evaluation_of(training: Job, runs: Path) -> JobSpec:
    """The evaluation that the board ranks, run after the training: the flips of the training, threshold tuned on
    validation."""
    run = training.spec.run
    request = EvaluateRequest(runs=str(runs), tta="auto", threshold="tuned")
    gpu = training.spec.gpu if "," not in training.spec.gpu else "auto"
    return JobSpec("evaluate", run, request, gpu, after=(training.id,), priority=training.spec.priority)


def planned(specs: Sequence[JobSpec], runs: Path, evaluate: bool) -> list[Job]:
    """The jobs that a launch would queue, in order, with placeholder ids."""
    jobs = []
    for number, spec in enumerate(specs):
        jobs.append(Job(f"new {number}", spec, State.QUEUED))
        if evaluate and spec.kind == "train":
            jobs.append(Job(f"evaluation {number}", evaluation_of(jobs[-1], runs), State.QUEUED))
    return jobs


def _named(values: Sequence[tuple[str, str]]) -> str:
    """The folder name of a combination, such as `lr_1e-3_image_size_512`: the fields' last parts, and the values."""
    return "_".join(f"{field.rpartition('.')[2]}_{re.sub(r'[^0-9A-Za-z.+-]+', '-', value)}" for field, value in values)
