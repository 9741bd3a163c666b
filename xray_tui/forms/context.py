"""What the app passes to a form when it opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from engine.contract.recipes import Recipe
    from xray_tui.jobs.model.job import Job

Kind = Literal["train", "evaluate", "blend"]
Drafts = dict[tuple[object, ...], dict[str, Any]]
"""Maps a kind of form and its base to the changed values of a form that was left without a launch."""


@dataclass(frozen=True, slots=True)
class FormContext:
    """The kind of the form, and the state of the app when it opens."""

    kind: Kind
    runs: Path
    current: str | None = None
    """The run under the cursor, as a name below `runs`."""
    marked: Sequence[str] = ()
    """The marked runs, as names below `runs`."""
    gpus: Sequence[tuple[str, str]] = ()
    """(value of JobSpec.gpu, label) of each GPU that a job may take."""
    gpu_limit: str = ""
    """The reason why only these GPUs can be chosen; empty if there is no limit."""
    jobs: Sequence[Job] = ()
    """The jobs of the runs folder."""
    recipes: Sequence[Recipe] | None = None
    """The recipes to choose from; None means that the form searches for them."""
    drafts: Drafts = field(default_factory=dict)
    """Shared by all forms of the app; a form adds and removes its own draft."""
    cwd: Path = field(default_factory=Path.cwd)
