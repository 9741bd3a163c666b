"""Which rows a form has: what is always asked, the fields of the config that are set most, the rest in sections."""

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
"""Fields whose text is long: they have the hint's room as well."""
WISH_HINTS = {
    "seeds": ("such as 42,1337,2025: once for each", "each seed is trained in a run of its own, NAME_seeds/seed_42"),
    "sweep": (
        "training.lr=1e-3,3e-4; data.image_size=256,384",
        "up to 3 fields with values; each combination is a run of its own, NAME_sweep/lr_1e-3_image_size_256",
    ),
    "evaluate": (
        "with hv, tuned threshold",
        "each training that has succeeded is evaluated with hv and a threshold tuned on validation",
    ),
    "gpus": ("how many at once, with gpu auto", ""),
    "after": (
        "only once that job has succeeded",
        "starts only once that job has succeeded; it is blocked where that fails or is stopped",
    ),
    "priority": ("0 is served first, 99 last", ""),
    "hold": ("keep it waiting until it is released", "keep it waiting until it is released, with H in the jobs"),
}
"""What stands beside the launch's own fields, and what the help line says, where that is more."""


def rows(state: FormState, gpus: Gpus, jobs: Sequence[Job] = (), gpu_limit: str = "") -> Iterator[Widget]:
    """The rows and sections of the form, from top to bottom. `jobs` are those that it can come after, `gpu_limit` says
    why it may take these `gpus` alone."""
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
    """The recipe, or the run's own config, from which the other values come."""
    options = [(base.label, index, base.problem or base.description) for index, base in enumerate(state.sources.bases)]
    label = "recipe" if state.kind == "train" else "start from"
    control = Choice(options or [("none found", 0, "")], state.base)
    return FormRow(BASE, label, control, base_hint(state), classes="-wide")


def base_hint(state: FormState) -> str:
    """What the chosen base is, in its own words."""
    description = state.base_of.description if state.base_of else ""
    return description or "what the other values start from; only what differs from it is set"


def run_row(state: FormState) -> FormRow:
    """A new run's name; for an evaluation, one of the runs that have a checkpoint or will have one."""
    if state.kind == "evaluate":
        there = [(name, name, _training_of(state, name)) for name in state.to_evaluate]
        none = [] if state.run else [("choose a run" if there else "none has a checkpoint", "", "")]
        hint = "a run with checkpoints/best.pt, or in training"
        control = Choice([*none, *there], state.run)
        return FormRow(RUN, "run", control, hint, classes="-wide")
    hint = f"a new folder in {state.runs.name or state.runs}"
    return FormRow(RUN, "run", TextField(state.run), hint)


def _training_of(state: FormState, run: str) -> str:
    """What is to be known of a run that is not trained yet."""
    training = state.coming.get(run)
    return "" if training is None else f"its training is {training.state}: after that"


def gpu_row(state: FormState, gpus: Gpus, limit: str = "") -> FormRow:
    """Where it runs."""
    options = [("auto", "auto", ""), *((label, value, "") for value, label in gpus)]
    control = Choice([*options, ("none", "none", "")], state.gpu)
    return FormRow(GPU, "gpu", control, limit or "auto waits for a free one; none: the processor")


def members_row(state: FormState) -> FormRow:
    """The runs that are blended."""
    control = Checklist(state.offered, state.members)
    return FormRow(MEMBERS, "members", control, members_hint(state))


def members_hint(state: FormState) -> str:
    """What can be chosen, and which of the marked runs cannot."""
    if not state.offered:
        return "no run has checkpoints/best.pt yet"
    if state.not_offered:
        return f"without checkpoints/best.pt: {', '.join(state.not_offered)}"
    return "space chooses; two or more"


def launch_section(state: FormState, jobs: Sequence[Job]) -> FormSection:
    """When it starts, how often, on how many GPUs, and what follows: in most launches none of that is asked."""
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
        fields = [f"{each}=" for each in state.fields] if key == "sweep" else ()
        control = TextField(raw, suggestions=fields, placeholder=hint if key in WIDE else "")
    label = "evaluate afterwards" if key == "evaluate" else key
    return FormRow(key, label, control, hint, help=f"{label}: {help or hint}", classes="-wide" if key in WIDE else "")


def sections(state: FormState) -> Iterator[FormSection]:
    """What is not shown at once: the config's own sections, and what stands at its top."""
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
