"""The values of a form, independent of its widgets. Turns texts and choices into a checked launch."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from engine.contract.names import BEST, CHECKPOINTS, CONFIG, run_path
from engine.contract.text import clean
from xray_tui.forms.context import FormContext, Kind
from xray_tui.forms.fields import Field, parse, show
from xray_tui.forms.options import Launch, LaunchOptions, Plan, launch_command, parse_int, plan_jobs
from xray_tui.forms.request import Draft, Filling, free_name, problems_of, request_for
from xray_tui.forms.sources import Base, Sources, members_for
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import shown_command

MAIN_FIELDS: dict[Kind, tuple[str, ...]] = {
    "train": ("data.manifest", "data.image_size", "training.epochs", "training.batch_size", "model.encoder", "seed"),
    "evaluate": ("tta", "threshold", "presence", "gate", "checkpoint", "batch_size", "bootstrap"),
    "blend": ("tta", "presence_run", "objective", "presence_sources", "weight_step", "threshold_step"),
}
BASE, RUN, GPU, MEMBERS, AFTER = "base", "run", "gpu", "members", "after"
"""Keys of the form's own fields. If a config has `run` or `members`, the form's own field sets it."""


class FormState:
    """The values of one form. `raw` maps each field key to the value of its control; that of a text field is text."""

    def __init__(self, context: FormContext, sources: Sources) -> None:
        self.context = context
        self.kind = context.kind
        self.sources = sources
        self.jobs = tuple(job for job in context.jobs if job.readable and not job.state.ended)
        self.trainings = {job.spec.run: job for job in self.jobs if job.spec.kind == "train"}
        """Maps run names to their queued or running training."""
        self.raw: dict[str, Any] = {}
        self._start: dict[str, Any] = {}
        """The values after a reset."""
        self.fill(sources.first, sources.filling)

    @property
    def to_evaluate(self) -> tuple[str, ...]:
        """The runs with a checkpoint, then the runs with a queued or running training."""
        trained = self.sources.trained
        return (*trained, *sorted(self.trainings.keys() - {*trained}))

    def _training_of(self, run: str) -> str:
        """The id of the job that trains the run, or an empty text."""
        return self.trainings[run].id if run in self.trainings else ""

    @property
    def base(self) -> Base | None:
        """The recipe or config that the values start from; None for an evaluation."""
        return self.sources.bases[self.raw[BASE]] if self.sources.bases else None

    @property
    def base_hint(self) -> str:
        description = self.base.description if self.base else ""
        return description or "the other values start from it; only changes are set"

    @property
    def main_fields(self) -> tuple[Field, ...]:
        """The most used fields of this config."""
        return tuple(self.fields[key] for key in MAIN_FIELDS[self.kind] if key in self.fields)

    @property
    def options(self) -> LaunchOptions:
        return LaunchOptions(**{field.name: self.raw[field.name] for field in fields(LaunchOptions)})

    @property
    def origin(self) -> str:
        """Where the values come from, for the title."""
        current = self.context.current or ""
        names = {None: "the defaults", self.context.runs / current / CONFIG: f"the run under the cursor, {current}"}
        origin = f" from {names.get(self.base.path, f'the recipe {self.base.label}')}" if self.base else ""
        return origin + (" with your draft (ctrl+r resets)" if self._draft else "")

    @property
    def _draft_key(self) -> tuple[object, ...]:
        marked = tuple(self.context.marked) if self.kind == "blend" else ()
        return (self.kind, self.base.path if self.base else self.context.current, marked)

    @property
    def _draft(self) -> dict[str, Any]:
        """The draft of this base, without choices that no longer exist."""
        choices = {AFTER: {"", *(job.id for job in self.jobs)}, GPU: {"auto", "none", *dict(self.context.gpus)}}
        if self.kind == "evaluate":
            choices[RUN] = {*self.to_evaluate}
        draft = self.context.drafts.get(self._draft_key, {})
        return {key: raw for key, raw in draft.items() if key in self._start and raw in choices.get(key, {raw})}

    def fill(self, base: int, filling: Filling) -> None:
        """Replace the values by those of another base and its draft. The form's own fields keep what was typed."""
        own = (*asdict(LaunchOptions()), RUN, GPU, MEMBERS)
        typed = {key: self.raw[key] for key in own if key in self.raw and self.raw[key] != self._start[key]}
        self.filling, self.raw[BASE] = filling, base
        self.fields = {field.key: field for field in filling.schema.walk()}
        if self.base is not None:
            run = free_name(self.base.run, self.sources.taken)
        else:
            current = self.context.current or next(iter(self.to_evaluate), "")
            run = current if current in self.to_evaluate else ""
        wanted = tuple(self.context.marked) or filling.members
        members, self.offered, self.not_offered = members_for(self.sources.trained, wanted)
        gpu = "auto" if self.context.gpus else "none"
        config = {key: self._raw_of(key, value) for key, value in filling.values.items()}
        start = {BASE: base, RUN: run, GPU: gpu, MEMBERS: members, AFTER: self._training_of(run)}
        self._start = config | asdict(LaunchOptions()) | start
        self.raw = self._start | typed | self._draft

    def reset(self) -> None:
        """Go back to the values of the base, and drop its draft."""
        self.raw = dict(self._start)
        self.keep_draft()

    def keep_draft(self) -> None:
        """Keep the changes for the next form of this kind and base."""
        changes = {key: raw for key, raw in self.raw.items() if raw != self._start[key]}
        self.context.drafts[self._draft_key] = changes

    def update(self, key: str, raw: Any) -> bool:
        """Set the value of a field from its control; return False if it has not changed."""
        if raw == self.raw[key] or (isinstance(raw, str) and raw == clean(str(self.raw[key]))):
            return False
        if key == RUN and self.kind == "evaluate" and self.raw[AFTER] in ("", self._training_of(self.raw[RUN])):
            self.raw[AFTER] = self._training_of(raw)  # unless the user has chosen another job
        self.raw[key] = raw
        return True

    def draft(self) -> Draft:
        """The form's values, parsed."""
        values = {key: self._value_of(key, value) for key, value in self.filling.values.items()}
        config = self.base.path if self.base else None
        return Draft(self.kind, self.context.runs, self.run_name(), values, self.filling, config, self.raw[MEMBERS])

    def command(self) -> str:
        """The shell command for the current values, which need not be valid; empty without a run to evaluate."""
        if self.kind == "evaluate" and not self.raw[RUN]:
            return ""
        options, spec = self.options, self._spec(self.draft())
        needs_queue = options.changed - {"allow_overlap"}
        return launch_command(spec, options, self.context) if needs_queue else shown_command(spec)

    def _spec(self, draft: Draft) -> JobSpec:
        options = self.options
        gpus = parse_int(options.gpus)
        return JobSpec(
            self.kind,
            draft.run,
            replace(request_for(draft, self.context.cwd), allow_overlap=options.allow_overlap),
            self.raw[GPU],
            1 if gpus is None else gpus,
            (options.after,) if options.after else (),
            parse_int(options.priority) or 0,
        )

    def check(self) -> Plan:
        """Plan the launch of the current values, with all problems."""
        options, draft = self.options, self.draft()
        spec = self._spec(draft)
        specs, option_problems = plan_jobs(spec, options, draft, self.sources.taken, len(self.context.gpus))
        draft_problems = problems_of(draft, {} if options.several else self.sources.taken)
        start_problem = self._start_problem()
        problems = start_problem | draft_problems | option_problems | draft_problems | start_problem
        changed = options.changed.union(key for key, _ in draft.changes)
        return Plan(Launch(specs, options.evaluate, options.hold), self.command(), problems, changed)

    def _start_problem(self) -> dict[str, str]:
        """The problem with the base, the run or its training, as {field key: message}."""
        problem, run, current = self.filling.problem, self.raw[RUN], self.context.current
        if problem is None and self.kind == "train" and self.base is None:
            problem = "no recipe found; expected a YAML file in ./configs or beside the runs folder"
        if problem is not None:
            return {BASE: problem}
        if self.kind != "evaluate" or run in self.sources.trained:
            return {}
        if not run and current and current not in self.to_evaluate:
            return {RUN: f"{clean(current)} has no {CHECKPOINTS}/{BEST}"}
        training = self.trainings.get(run)
        if training is not None and self.raw[AFTER] != training.id:
            lacks = f"{clean(run)} has no {CHECKPOINTS}/{BEST} yet"
            return {AFTER: f"{lacks}; expected its training, which is {training.state}"}
        return {}

    def run_name(self) -> str:
        """The run as a name below the runs folder."""
        return run_path(self.raw[RUN])

    def config_file(self) -> Path:
        """The proposed file for the values: configs/RUN.yaml beside the runs folder."""
        name = PurePosixPath(self.run_name()).name or self.kind
        return self.context.runs.absolute().parent / "configs" / f"{name}.yaml"

    def _raw_of(self, key: str, value: Any) -> Any:
        field = self.fields.get(key)
        return show(value) if field is not None and field.kind == "text" else value

    def _value_of(self, key: str, base: Any) -> Any:
        # An unchanged field keeps the value of the base, even if parsing its text would give another one.
        raw, field = self.raw[key], self.fields.get(key)
        if key in (RUN, MEMBERS) or raw == self._raw_of(key, base):
            return base
        return parse(field, raw) if field is not None and field.kind == "text" else raw
