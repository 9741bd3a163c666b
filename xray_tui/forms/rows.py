"""The rows of a form: base, run, GPU and the main fields of the config; all others are in sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from textual.widget import Widget

from xray_tui.forms.controls import Checklist, Choice, TextField, Toggle
from xray_tui.forms.fields import Field, Section
from xray_tui.forms.options import WISHES
from xray_tui.forms.row import NESTED, Control, FormRow, FormSection, field_row
from xray_tui.forms.state import BASE, GPU, MEMBERS, RUN, FormState
from xray_tui.jobs.model.job import Job

Gpus = Sequence[tuple[str, str]]
WIDE = frozenset({"data.manifest", "description", "sweep"})
"""Fields with long text: their control also takes the space of the hint."""
WISH_HINTS = {
    "seeds": ("such as 42,1337,2025", "one training for each seed, as the run NAME_seeds/seed_42"),
    "sweep": (
        "training.lr=1e-3,3e-4; data.image_size=256,384",
        "up to 3 fields with values; one training for each combination, as the run NAME_sweep/lr_1e-3_image_size_256",
    ),
    "evaluate": (
        "with hv, tuned threshold",
        "evaluates each training after it succeeds, with hv and a threshold tuned on validation",
    ),
    "gpus": ("number of GPUs, with gpu auto", ""),
    "after": (
        "start after this job has succeeded",
        "starts after this job has succeeded; blocked if this job fails or is stopped",
    ),
    "priority": ("0 starts first, 99 last", ""),
    "hold": (
        "keep out of the queue until released",
        "keeps the job out of the queue until it is released, with H in the jobs",
    ),
}
"""Hint and help line of the launch's own fields; without a help text, the help line shows the hint."""


def rows(state: FormState, gpus: Gpus, jobs: Sequence[Job] = (), gpu_limit: str = "") -> Iterator[Widget]:
    """The rows and sections of the form, from top to bottom.

    `jobs` are the choices of `after`; `gpu_limit` is the reason why only these `gpus` can be chosen.
    """
    if state.kind != "evaluate":
        yield base_row(state)
    if state.kind == "blend":
        yield members_row(state)
    yield run_row(state)
    yield gpu_row(state, gpus, gpu_limit)
    for field in state.main_fields:
        yield _row(state, field, field.key)
    yield launch_section(state, jobs)
    yield from sections(state)


def base_row(state: FormState) -> FormRow:
    """The recipe or run config that the other values start from."""
    options = [(base.label, index, base.problem or base.description) for index, base in enumerate(state.sources.bases)]
    label = "recipe" if state.kind == "train" else "start from"
    control = Choice(options or [("none found", 0, "")], state.base)
    return FormRow(BASE, label, control, base_hint(state), classes="-wide")


def base_hint(state: FormState) -> str:
    description = state.base_of.description if state.base_of else ""
    return description or "the other values start from it; only changes are set"


def run_row(state: FormState) -> FormRow:
    """The name of a new run; for an evaluation, a choice of the runs that have a checkpoint or are in training."""
    if state.kind == "evaluate":
        options = [(name, name, _training_remark(state, name)) for name in state.to_evaluate]
        empty = [] if state.run else [("choose a run" if options else "no run has a checkpoint", "", "")]
        hint = "a run with checkpoints/best.pt, or in training"
        control = Choice([*empty, *options], state.run)
        return FormRow(RUN, "run", control, hint, classes="-wide")
    hint = f"a new folder in {state.runs.name or state.runs}"
    return FormRow(RUN, "run", TextField(state.run), hint)


def _training_remark(state: FormState, run: str) -> str:
    training = state.coming.get(run)
    return "" if training is None else f"after its training, which is {training.state}"


def gpu_row(state: FormState, gpus: Gpus, limit: str = "") -> FormRow:
    options = [("auto", "auto", ""), *((label, value, "") for value, label in gpus)]
    control = Choice([*options, ("none", "none", "")], state.gpu)
    return FormRow(GPU, "gpu", control, limit or "auto: a free GPU; none: the CPU")


def members_row(state: FormState) -> FormRow:
    control = Checklist(state.offered, state.members)
    return FormRow(MEMBERS, "members", control, members_hint(state))


def members_hint(state: FormState) -> str:
    """How to choose, or the marked runs that cannot be chosen."""
    if not state.offered:
        return "no run has checkpoints/best.pt yet"
    if state.not_offered:
        return f"without checkpoints/best.pt: {', '.join(state.not_offered)}"
    return "space chooses; two or more"


def launch_section(state: FormState, jobs: Sequence[Job]) -> FormSection:
    """The launch's own fields; most launches use their defaults."""
    keys = WISHES[state.kind]
    about = "seeds, sweep, evaluation, after, priority, hold" if state.kind == "train" else "after, priority, hold"
    return FormSection("launch", keys, lambda: (_wish_row(state, key, jobs) for key in keys), about)


def _wish_row(state: FormState, key: str, jobs: Sequence[Job]) -> FormRow:
    hint, help = WISH_HINTS[key]
    raw = state.shown(key)
    if key == "after":
        options = [(f"{job.spec.kind} {job.spec.run}", job.id, job.state) for job in jobs]
        control: Control = Choice([("none", "", ""), *options], raw)
    elif isinstance(raw, bool):
        control = Toggle(raw)
    else:
        suggestions = [f"{field}=" for field in state.fields] if key == "sweep" else ()
        control = TextField(raw, suggestions=suggestions, placeholder=hint if key in WIDE else "")
    label = "evaluate afterwards" if key == "evaluate" else key
    return FormRow(key, label, control, hint, help=f"{label}: {help or hint}", classes="-wide" if key in WIDE else "")


def sections(state: FormState) -> Iterator[FormSection]:
    """The sections of the config, and `general` for the remaining fields at its top level."""
    main = (*(field.key for field in state.main_fields), RUN, MEMBERS)
    schema = state.schema
    top = Section("", "", tuple(field for field in schema.fields if field.key not in main))
    groups = [("general", top), *((section.key, section) for section in schema.sections)]
    for name, section in groups:
        keys = [field.key for field in section.walk() if field.key not in main]
        keys += [inner.key for inner in section.optional_sections()]
        if keys:
            yield FormSection(name, keys, partial(_section_rows, state, section, main))


def _section_rows(state: FormState, section: Section, main: Sequence[str]) -> Iterator[FormRow]:
    for field in section.fields:
        if field.key not in main:
            yield _row(state, field)
    for inner in section.sections:
        if inner.optional:
            label, hint = inner.key.rpartition(".")[2], inner.description
            yield FormRow(inner.key, label, Toggle(state.raw[inner.key]), hint, help=f"{inner.key}: {hint}")
        for row in _section_rows(state, inner, main):
            row.add_class(NESTED)
            row.display = bool(state.raw.get(inner.key, True))
            yield row


def _row(state: FormState, field: Field, label: str | None = None) -> FormRow:
    return field_row(field, state.raw[field.key], label, classes="-wide" if field.key in WIDE else "")
