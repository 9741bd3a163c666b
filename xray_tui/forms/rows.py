"""The rows of a form: base, run, GPU and the main fields of the config; all others are in sections."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from functools import partial

from textual.widget import Widget

from xray_tui.forms.controls import Checklist, Choice, TextField, Toggle
from xray_tui.forms.fields import Field, Section, sentence, show
from xray_tui.forms.options import OPTIONS
from xray_tui.forms.row import NESTED, Control, FormRow, FormSection
from xray_tui.forms.state import BASE, GPU, MEMBERS, RUN, FormState

WIDE = frozenset({"data.manifest", "description", "sweep"})
"""Fields with long text, whose control also takes the space of the hint."""
SWEEP = "training.lr=1e-3,3e-4; data.image_size=256,384"
OPTION_HINTS = {
    "seeds": "such as 42,1337; one training for each, as the run NAME_seeds/seed_42",
    "sweep": "up to 3 fields with values; one training for each combination, such as NAME_sweep/lr_1e-3_image_size_256",
    "evaluate": "with the flips of the training and a threshold tuned on validation, after each training",
    "gpus": "number of GPUs, with gpu auto",
    "after": "start after this job has succeeded; blocked if it fails or is stopped",
    "priority": "0 starts first, 99 last",
    "hold": "keep out of the queue until released, with H in the jobs",
    "allow_overlap": "accept a network trained on images of the split; the results are not ranked",
}


def rows(state: FormState) -> Iterator[Widget]:
    """The rows and sections of the form, from top to bottom."""
    if state.kind != "evaluate":
        yield _base_row(state)
    if state.kind == "blend":
        yield FormRow(MEMBERS, "members", Checklist(state.offered, state.raw[MEMBERS]), members_hint(state))
    yield _run_row(state)
    gpus = [("auto", "auto", ""), *((label, gpu, "") for gpu, label in state.context.gpus), ("none", "none", "")]
    hint = state.context.gpu_limit or "auto: a free GPU; none: the CPU"
    yield FormRow(GPU, "gpu", Choice(gpus, state.raw[GPU]), hint)
    for field in state.main_fields:
        yield _field_row(state, field, field.key)
    keys = OPTIONS[state.kind]
    yield FormSection("launch", keys, lambda: (_option_row(state, key) for key in keys))
    yield from _sections(state)


def _base_row(state: FormState) -> FormRow:
    """The recipe or run config that the other values start from."""
    options = [(base.label, index, base.problem or base.description) for index, base in enumerate(state.sources.bases)]
    control = Choice(options or [("none found", 0, "")], state.raw[BASE])
    label = "recipe" if state.kind == "train" else "start from"
    return FormRow(BASE, label, control, state.base_hint, wide=True)


def _run_row(state: FormState) -> FormRow:
    """The name of a new run; for an evaluation, a choice of the runs that have a checkpoint or are in training."""
    run, runs = state.raw[RUN], state.context.runs
    if state.kind != "evaluate":
        return FormRow(RUN, "run", TextField(run), f"a new folder in {runs.name or runs}")
    remarks = {name: f"after its training, which is {job.state}" for name, job in state.trainings.items()}
    options = [(name, name, remarks.get(name, "")) for name in state.to_evaluate]
    empty = [] if run else [("choose a run" if options else "no run has a checkpoint", "", "")]
    return FormRow(
        RUN, "run", Choice([*empty, *options], run), "a run with checkpoints/best.pt, or in training", wide=True
    )


def members_hint(state: FormState) -> str:
    """How to choose, or the marked runs that cannot be chosen."""
    if not state.offered:
        return "no run has checkpoints/best.pt yet"
    if state.not_offered:
        return f"left out, without checkpoints/best.pt: {', '.join(state.not_offered)}"
    return "space chooses; two or more"


def _option_row(state: FormState, key: str) -> FormRow:
    hint, raw = OPTION_HINTS[key], state.raw[key]
    if key == "after":
        jobs = [(f"{job.spec.kind} {job.spec.run}", job.id, job.state) for job in state.jobs]
        control: Control = Choice([("none", "", ""), *jobs], raw)
    elif isinstance(raw, bool):
        control = Toggle(raw)
    else:
        suggestions = [f"{field}=" for field in state.fields] if key == "sweep" else ()
        control = TextField(raw, suggestions=suggestions, placeholder=SWEEP if key == "sweep" else "")
    label = "evaluate afterwards" if key == "evaluate" else key.replace("_", " ")
    return FormRow(key, label, control, hint, wide=key in WIDE)


def _sections(state: FormState) -> Iterator[FormSection]:
    """The sections of the config, and `general` for the remaining fields at its top level."""
    above = {*(field.key for field in state.main_fields), RUN, MEMBERS}
    schema = state.filling.schema
    for section in (replace(schema, key="general", sections=()), *schema.sections):
        keys = [field.key for field in section.walk() if field.key not in above]
        keys += [inner.key for inner in section.optional_sections()]
        if keys:
            yield FormSection(section.key, keys, partial(_section_rows, state, section, above))


def _section_rows(state: FormState, section: Section, above: Set[str]) -> Iterator[FormRow]:
    for field in section.fields:
        if field.key not in above:
            yield _field_row(state, field, field.label)
    for inner in section.sections:
        if inner.optional:
            label, hint = inner.key.rpartition(".")[2], inner.description
            yield FormRow(inner.key, label, Toggle(state.raw[inner.key]), hint, help=f"{inner.key}: {sentence(hint)}")
        for row in _section_rows(state, inner, above):
            row.add_class(NESTED)
            row.display = bool(state.raw.get(inner.key, True))
            yield row


def _field_row(state: FormState, field: Field, label: str) -> FormRow:
    raw = state.raw[field.key]
    if field.kind == "switch":
        control: Control = Toggle(raw)
    elif field.kind == "choice":
        control = Choice([(show(value) or "(empty)", value, "") for value in field.choices], raw)
    else:
        control = TextField(raw, suggestions=field.examples, placeholder="(empty)" if field.optional else "")
    return FormRow(field.key, label, control, field.description, help=field.help, wide=field.key in WIDE)
