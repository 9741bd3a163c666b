"""board.yaml and note.yaml, read with every problem as one line: the only module of the board that needs YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.contract.errors import BadInput
from engine.contract.load import field_errors, read_mapping
from engine.contract.metrics import METRICS
from engine.contract.names import BOARD
from engine.contract.text import clean
from xray_tui.board.document import LARGEST_COUNT
from xray_tui.board.rules import INSIGHTS, Reference, Rules

Word = Annotated[str, Field(min_length=1, max_length=200)]
Insight = Literal[
    "best_primary",
    "versus_reference",
    "best_roc_auc",
    "best_ap",
    "seed_groups",
    "leader_interval",
    "indistinguishable",
    "newest_versus_leader",
    "set_aside",
]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReferenceField(_File):
    """The run that the leader is measured against."""

    label: Word = Field(..., description="what the reference is called in the sentence")
    run: Word = Field(..., description="its run, relative to the runs folder")


class ExpectField(_File):
    """What every artifact that states it has to state."""

    num_samples: int | None = Field(None, ge=0, le=LARGEST_COUNT, description="images of the test split")
    num_positive: int | None = Field(
        None, ge=0, le=LARGEST_COUNT, description="images of the test split with a fracture"
    )


class BoardFile(_File):
    """The keys of board.yaml; what is left out keeps the default that `Rules` has."""

    title: Word | None = Field(None, description="headline of the exported board")
    primary: Word | None = Field(None, description="the metric that ranks")
    reference: ReferenceField | None = Field(None, description="a mapping {label: nnUNet, run: its run}")
    exclude: list[Word] | None = Field(None, description="words; a path that contains one does not rank")
    artifacts: list[Word] | None = Field(None, description="globs of further test artifacts")
    best_by: Literal["test", "val"] | None = Field(None, description="what a run's best artifact is chosen by")
    resolution: Literal["native", "input"] | None = Field(None, description="which block of an artifact ranks")
    columns: list[Word] | None = Field(None, min_length=1, description="metrics, the columns of the exports")
    insights: list[Insight] | None = Field(None, description="any of " + ", ".join(INSIGHTS))
    remarks: list[Annotated[str, Field(max_length=2000)]] | None = Field(
        None, description="hand-written bullets, printed after the insights"
    )
    aliases: dict[Word, list[Word]] | None = Field(None, description="metric: other names it has in older artifacts")
    places: list[Word] | None = Field(None, description="dotted places of metrics in older artifacts")
    data_fingerprint: Word | None = Field(None, description="the fingerprint that artifacts must not contradict")
    expect: ExpectField | None = Field(None, description="a mapping {num_samples: 613, num_positive: 108}")

    @field_validator("aliases", mode="before")
    @classmethod
    def _one_alias_is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: [names] if isinstance(names, str) else names for key, names in value.items()}

    def rules(self) -> Rules:
        """These keys over the defaults. A board without `columns` shows its primary metric first."""
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        given = {name: value for name, value in given.items() if value is not None}
        if self.primary is not None:
            given["primary"] = metric_name(self.primary)
        if self.columns is not None:
            given["columns"] = tuple(dict.fromkeys(map(metric_name, self.columns)))
        if self.aliases is not None:
            given["aliases"] = {metric_name(name): tuple(words) for name, words in self.aliases.items()}
        if self.reference is not None:
            given["reference"] = Reference(self.reference.label, self.reference.run)
        if self.expect is not None:
            given["expect"] = self.expect.model_dump(exclude_none=True)
        if "columns" not in given and "primary" in given:
            given["columns"] = tuple(dict.fromkeys((given["primary"], *Rules.columns)))
        return Rules(**given)


def metric_name(given: str) -> str:
    """The name under which a metric is known here, whatever its case and whichever of its names was given."""
    word = given.strip().lower()
    return next((known.name for known in METRICS if word in (known.name, *known.aliases)), given)


def read_rules(path: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules in a board.yaml and a line a problem; a field that is wrong keeps its default."""
    values, problems = _mapping(path, BOARD)
    try:
        return BoardFile.model_validate(values).rules(), problems
    except ValidationError as error:
        lines = [f"{BOARD}: {field}: {problem}; ignored" for field, problem in field_errors(error, BoardFile)]
        wrong = {item["loc"][0] for item in error.errors(include_url=False, include_input=False) if item["loc"]}
    usable = {key: value for key, value in values.items() if key not in wrong}
    return BoardFile.model_validate(usable).rules(), (*problems, *dict.fromkeys(lines))


def read_set_aside(path: Path, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The reason for which a run's note.yaml sets it aside, if it does, and a line for what is wrong with the file."""
    values, problems = _mapping(path, name)
    reason = values.get("set_aside")
    if reason is None or reason is False or reason == "":
        return None, problems
    if not isinstance(reason, str):
        return "set aside by its note", problems
    return f"set aside by its note: {clean(reason.strip())[:300]}", problems


def _mapping(path: Path, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not path.is_file():  # a pipe would be waited for, a folder cannot be read
        return {}, (f"{clean(name)}: not a regular file; ignored",)
    try:
        values = read_mapping(path)
    except BadInput as error:
        return {}, tuple(line.replace(clean(str(path)), clean(name), 1) + "; ignored" for line in error.lines)
    return {str(key): value for key, value in values.items()}, ()
