"""The values of a form, independent of its widgets: takes text and choices, gives a checked launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from engine.contract.names import BEST, CHECKPOINTS, run_path
from engine.contract.text import clean
from xray_tui.forms.fields import Field, Section, parse, show
from xray_tui.forms.options import (
    WISHES,
    Launch,
    Plan,
    Wishes,
    launch_command,
    read_sweep,
    specs_of,
    sweep_problem,
    terms_problems,
    whole,
)
from xray_tui.forms.request import Draft, Kind, check, free_name
from xray_tui.forms.sources import Base, Filling, Sources, members_for
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.model.request import shown_command

MAIN_FIELDS: dict[Kind, tuple[str, ...]] = {
    "train": ("data.manifest", "data.image_size", "training.epochs", "training.batch_size", "model.encoder", "seed"),
    "evaluate": ("tta", "threshold", "presence", "gate", "checkpoint", "batch_size", "bootstrap"),
    "blend": ("tta", "presence_run", "objective", "presence_sources", "weight_step", "threshold_step"),
}
BASE, RUN, GPU, MEMBERS = "base", "run", "gpu", "members"
AFTER = "after"
"""Keys of fields that are not in the config. No config has these keys at its top level."""


class FormState:
    """The values of one form.

    `current` is the run under the cursor, `marked` are the marked runs, `gpus` is the number of available GPUs, `jobs`
    are the jobs of the runs folder that have not ended.
    """

    def __init__(
        self,
        kind: Kind,
        runs: Path,
        sources: Sources,
        cwd: Path,
        *,
        current: str | None = None,
        marked: Sequence[str] = (),
        gpus: int = 0,
        jobs: Sequence[Job] = (),
    ) -> None:
        self.kind = kind
        self.runs = runs
        self.sources = sources
        self.cwd = cwd
        self.fields: dict[str, Field] = {}
        self.raw: dict[str, Any] = {}
        self.gpu = "auto" if gpus else "none"
        self.gpus = gpus
        self.wishes = Wishes()
        self.base = sources.first
        self._filling = sources.filling
        self._proposed = ""
        self.run = ""
        self._marked = tuple(marked)
        self._touched_members = False
        self.members: tuple[str, ...] = ()
        self.offered: tuple[str, ...] = ()
        self.not_offered: tuple[str, ...] = ()
        self.coming = {job.spec.run: job for job in jobs if job.spec.kind == "train"}
        """Run name -> its queued or running training."""
        self._untrained = ""
        """The run under the cursor if it cannot be evaluated, else empty."""
        self._proposed_after = ""
        if kind == "evaluate":
            self.run = self._run_to_evaluate(current)
            self._propose_after()
        self.fill(self.base, sources.filling)

    def _run_to_evaluate(self, current: str | None) -> str:
        """The run under the cursor, empty if it cannot be evaluated; without a cursor, the first possible run."""
        if not current:
            return next(iter(self.to_evaluate), "")
        if current in self.to_evaluate:
            return current
        self._untrained = current
        return ""

    @property
    def to_evaluate(self) -> tuple[str, ...]:
        """The runs with a checkpoint, then the runs with a queued or running training."""
        trained = self.sources.trained
        return (*trained, *sorted(self.coming.keys() - {*trained}))

    def _propose_after(self) -> None:
        """Set `after` to the training of the run, unless the user has chosen another job."""
        if self.wishes.after in ("", self._proposed_after):
            training = self.coming.get(self.run)
            self._proposed_after = "" if training is None else training.id
            self.wishes = replace(self.wishes, after=self._proposed_after)

    @property
    def base_of(self) -> Base | None:
        """The recipe or config of the base values; None for an evaluation."""
        return self.sources.bases[self.base] if self.sources.bases else None

    @property
    def schema(self) -> Section:
        """The fields of the config; they depend on the base."""
        return self._filling.schema

    @property
    def main_fields(self) -> tuple[Field, ...]:
        """The most used fields of this config."""
        return tuple(self.fields[key] for key in MAIN_FIELDS[self.kind] if key in self.fields)

    def fill(self, base: int, filling: Filling) -> None:
        """Replace all values by those of another base.

        A typed run name stays, and so do marked or chosen members.
        """
        self.base, self._filling = base, filling
        self.fields = {field.key: field for field in filling.schema.walk()}
        values = filling.values
        self.raw = {key: self._raw_of(key, value) for key, value in values.items()}
        if (new_base := self.base_of) is not None and self.run == self._proposed:
            self.run = self._proposed = free_name(new_base.run, self.sources.taken)
        if not self._touched_members:
            wanted = self._marked or filling.members
            self.members, self.offered, self.not_offered = members_for(self.sources.trained, wanted)

    def give(self, key: str, raw: Any) -> bool:
        """Set the value of a field from its control; False if it has not changed."""
        if raw == self.shown(key) or (isinstance(raw, str) and raw == clean(str(self.shown(key)))):
            return False
        if key == RUN:
            self.run = raw
            if self.kind == "evaluate":
                self._propose_after()
        elif key == GPU:
            self.gpu = raw
        elif key == MEMBERS:
            self.members, self._touched_members = raw, True
        elif key == BASE:
            self.base = raw
        elif key in WISHES[self.kind]:
            self.wishes = replace(self.wishes, **{key: raw})
        else:
            self.raw[key] = raw
        return True

    def shown(self, key: str) -> Any:
        """The value of the field's control: text for a text field, else the value itself."""
        special = {BASE: self.base, RUN: self.run, GPU: self.gpu, MEMBERS: self.members}
        if key in special:
            return special[key]
        return getattr(self.wishes, key) if key in WISHES[self.kind] else self.raw[key]

    def draft(self) -> Draft:
        """The form's values, parsed."""
        base = self._filling.values
        values = {key: self._value_of(key, raw, base[key]) for key, raw in self.raw.items()}
        config = self.base_of.path if self.base_of else None
        return Draft(self.kind, self.runs, self.run_name(), values, base, config, self.members, self._filling.model)

    def check(self) -> Plan:
        """The launch of the current values, with all problems."""
        wishes, schema, taken = self.wishes, self.schema, self.sources.taken
        seeds, sweep, sweep_problems = read_sweep(wishes)
        draft = self.draft()
        checked = check(draft, schema, {} if seeds or sweep else taken, self.cwd)
        after = (wishes.after,) if wishes.after else ()
        count, priority = whole(wishes.gpus), whole(wishes.priority) or 0
        gpus = 1 if count is None else count  # terms_problems reports text that is not a number
        spec = JobSpec(self.kind, self.run_name(), checked.request, self.gpu, gpus, after, priority)
        specs, spec_problems = specs_of(spec, seeds, sweep, taken)
        problems = {**(start := self._start_problem()), **checked.problems, **start}
        if sweep and not spec_problems and not problems:
            problem = sweep_problem(sweep, draft, schema)
            spec_problems |= {"sweep": problem} if problem else {}
        command = launch_command(spec, wishes, self.runs, self.cwd) if wishes.changed else shown_command(spec)
        for more in (sweep_problems, spec_problems, terms_problems(spec, wishes, self.gpus)):
            problems |= {**more, **problems}
        return Plan(Launch(specs, wishes.evaluate, wishes.hold), command, problems, checked.changed | wishes.changed)

    def _start_problem(self) -> dict[str, str]:
        """The problem with the base, the run or its training: field key -> message."""
        problem = self._filling.problem
        if problem is None and self.kind == "train" and self.base_of is None:
            problem = "no recipe found; expected a YAML file in ./configs or beside the runs folder"
        if problem is not None:
            return {BASE: problem}
        if self._untrained and not self.run:
            return {RUN: f"{clean(self._untrained)} has no {CHECKPOINTS}/{BEST}"}
        training = self.coming.get(self.run) if self.kind == "evaluate" else None
        if training is not None and self.run not in self.sources.trained and self.wishes.after != training.id:
            lacks = f"{clean(self.run)} has no {CHECKPOINTS}/{BEST} yet"
            return {AFTER: f"{lacks}; expected its training, which is {training.state}"}
        return {}

    def run_name(self) -> str:
        """The run as a name below the runs folder."""
        return run_path(self.run)

    def config_file(self) -> Path:
        """The proposed file for the values: configs/RUN.yaml beside the runs folder."""
        return self.runs.absolute().parent / "configs" / f"{PurePosixPath(self.run_name()).name or self.kind}.yaml"

    def _raw_of(self, key: str, value: Any) -> Any:
        field = self.fields.get(key)
        return show(value) if field is not None and field.kind == "text" else value

    def _value_of(self, key: str, raw: Any, base: Any) -> Any:
        # An unchanged field keeps the value of the base, even if parsing its text would give another one.
        if raw == self._raw_of(key, base):
            return base
        field = self.fields.get(key)
        return parse(field, raw) if field is not None and field.kind == "text" else raw
