"""What the user has set: one small YAML file in the user's config folder, every key of it optional.

    # ~/.config/xray-tui/settings.yaml
    runs_dir: /data/challenge/runs
    theme: nord
    keymap: {job.stop: ctrl+k}

The file is read with pydantic, which is imported only where there is a file: an app without one starts sooner.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.contract.names import RUNS

if TYPE_CHECKING:
    from argparse import Namespace

    from pydantic import TypeAdapter

FILE = "settings.yaml"
APP = "xray-tui"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings with their defaults. Paths may begin with `~`; relative ones count from the working folder."""

    runs_dir: Path | None = None
    """The runs folder that is opened where none is named on the command line."""

    export: Path | None = None
    """Where `x` writes the board; without it LEADERBOARD.md beside the runs folder."""

    lease_dir: Path | None = None
    """Where the GPU locks lie that all users of the server share; without it /run/lock/xray-tui and the like."""

    gpus: tuple[int | str, ...] = ()
    """GPUs that jobs with gpu auto may take, by index or UUID, the preferred one first; without it all of them."""

    foreign: str | dict[str, str] = "refuse"
    """Whether a job takes a GPU that is in use by no job: `refuse`, `share`, or `{idle_under: 2GiB}` where less memory
    than that is in use."""

    max_gpus: int | None = None
    """So many GPUs your jobs of one runs folder hold at once."""

    slots: int = 1
    """So many of your small jobs share a GPU; a job that names its GPUs or takes several still has them alone."""

    hours: str = ""
    """When your jobs may start, such as `20:00-08:00`; without it always."""

    theme: str = "xray"
    """A theme of the command palette."""

    gpu_detail: bool = False
    """Whether the GPUs are shown in detail from the start, as far as half of the screen allows."""

    bell: bool = True
    """Whether the terminal's bell rings when a job of yours ends while the app is open."""

    on_end: tuple[str, ...] = ()
    """A command, word by word and run without a shell, for the end of every job: `[mail-me, --from, gpu1]`. It finds
    the job in $XRAY_JOB_ID, _RUN, _KIND, _STATE, _CAUSE, _FOLDER and the like, and has a minute. As it stands at the
    launch."""

    environment_drop: tuple[str, ...] = ()
    """Patterns of variables that jobs do not get from the shell that launches them, such as `[AWS_*]`, besides those
    whose names look secret: `*TOKEN*`, `*SECRET*`, `*PASSWORD*`, `*PASSWD*`, `*CREDENTIAL*`, `*_KEY`, `SSH_*`."""

    environment_keep: tuple[str, ...] = ()
    """Patterns of variables that jobs get all the same, such as `[WANDB_API_KEY, HF_TOKEN]`. They wait in
    `environment.json` of the job's folder, which only you can read, until the job begins."""

    mouse: bool = True
    """Whether the app takes the mouse; without it the terminal selects text as usual."""

    columns: tuple[str, ...] = ()
    """The leaderboard's metrics, in order, by any of their names; without them those of the board.yaml."""

    keymap: dict[str, str] = field(default_factory=dict)
    """Other keys by the id of what they do, as the help screen names it: `{job.stop: "ctrl+k,X"}`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def runs_folder(given: Path | None, settings: Settings) -> Path:
    """The runs folder: the given one, else `runs_dir` of the settings, else ./runs, whether it exists or not."""
    return given or settings.runs_dir or Path(RUNS)


def settings_path() -> Path:
    """Where the settings file lies, whether it exists or not."""
    from platformdirs import user_config_path

    return user_config_path(APP) / FILE


def load_settings(path: Path | None = None) -> tuple[Settings, tuple[str, ...]]:
    """The settings of the file, and a line for everything in it that is wrong; such a key keeps its default.

    Never raises: an app with a bad settings file still opens, and says what is bad.
    """
    path = path or settings_path()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Settings(), ()
    except OSError:
        pass  # reading it says why
    from engine.contract.errors import BadInput
    from engine.contract.yaml_file import read_mapping

    try:
        values = read_mapping(path)
    except BadInput as error:
        return Settings(), error.lines
    return _validate(values, path)


def settings_for(command: Namespace) -> Settings:
    """The settings for one command of `xray-tui`, read once; their problems go to standard error, a line each."""
    if "settings" not in command:
        from engine.contract.text import clean

        command.settings, problems = load_settings()
        for line in problems:
            print(f"xray-tui: {clean(line)}", file=sys.stderr)
    found: Settings = command.settings
    return found


def _validate(values: dict[str, Any], path: Path) -> tuple[Settings, tuple[str, ...]]:
    from pydantic import ValidationError

    try:
        return _expanded(_adapter().validate_python(values), path)
    except ValidationError as error:
        wrong = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
        problems = _lines(error, path)
    kept = {key: value for key, value in values.items() if str(key) not in wrong}
    try:
        settings, more = _expanded(_adapter().validate_python(kept), path)
    except ValidationError:  # keys that are no text, and the like
        return Settings(), problems
    return settings, (*problems, *more)


@cache
def _adapter() -> TypeAdapter[Settings]:
    from pydantic import TypeAdapter

    return TypeAdapter(Settings)


def _lines(error: Any, path: Path) -> tuple[str, ...]:
    from engine.contract.text import clean

    known = ", ".join(item.name for item in fields(Settings))
    lines = []
    for item in error.errors(include_url=False):
        name = clean(".".join(str(part) for part in item["loc"]))
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines.append(f"{path}: {name}: unknown key; known are {known}")
        else:
            lines.append(
                f"{path}: {name}: {clean(repr(item['input']))[:60]}: {clean(item['msg'])}; the default is used"
            )
    return tuple(dict.fromkeys(lines))


def _expanded(settings: Settings, path: Path) -> tuple[Settings, tuple[str, ...]]:
    """The settings with every `~` replaced; a path that begins with an unknown user's home is left out, with a line."""
    from dataclasses import replace

    from engine.contract.text import clean

    expanded: dict[str, Path | None] = {}
    problems = []
    for name in ("runs_dir", "export", "lease_dir"):
        given: Path | None = getattr(settings, name)
        try:
            expanded[name] = given.expanduser() if given is not None else None
        except RuntimeError:
            expanded[name] = None
            user = clean(given.parts[0].removeprefix("~")) if given is not None else ""
            problems.append(f"{path}: {name}: there is no user {user}; the default is used")
    return replace(settings, **expanded), tuple(problems)  # type: ignore[arg-type]
