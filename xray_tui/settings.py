"""The settings: one small YAML file in the user's config folder; every key is optional.

    # ~/.config/xray-tui/settings.yaml
    runs_dir: /data/challenge/runs
    theme: nord
    keymap: {job.stop: ctrl+k}

pydantic, which reads the file, is imported only if the file exists, because its import delays the start.
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
    """The settings with their defaults. Paths may begin with `~`; relative paths start at the working folder."""

    runs_dir: Path | None = None
    """The runs folder if the command line names none."""

    export: Path | None = None
    """The file to which `x` exports the board. Default: LEADERBOARD.md beside the runs folder."""

    lease_dir: Path | None = None
    """The folder of the GPU locks, which all users of the server share. Default: /run/lock/xray-tui or similar."""

    gpus: tuple[int | str, ...] = ()
    """GPUs, by index or UUID, that jobs with `gpu auto` may take, in order of preference. Default: all GPUs."""

    foreign: str | dict[str, str] = "refuse"
    """Whether a job takes a GPU used by processes outside the queue: `refuse`, `share`, or `{idle_under: 2GiB}` to
    take it if less memory than that is used."""

    max_gpus: int | None = None
    """Largest number of GPUs that your jobs of one runs folder hold at once. Default: no limit."""

    slots: int = 1
    """Number of your small jobs that share a GPU. A job that names its GPUs or takes several never shares them."""

    hours: str = ""
    """The hours in which your jobs may start, such as `20:00-08:00`. Default: always."""

    theme: str = "xray"
    """The name of a theme; the command palette lists the themes."""

    gpu_detail: bool = False
    """Whether the GPUs are shown in detail from the start, if they fit into half of the screen."""

    bell: bool = True
    """Whether the terminal bell rings when one of your jobs ends while the app is open."""

    on_end: tuple[str, ...] = ()
    """A command that runs after every job, as a list of words, without a shell: `[mail-me, --from, gpu1]`. It gets the
    job in $XRAY_JOB_ID, _RUN, _KIND, _STATE, _CAUSE, _FOLDER and others, and is killed after a minute. A job keeps the
    command that was set at its launch."""

    environment_drop: tuple[str, ...] = ()
    """Patterns of variables that jobs do not get from the launching shell, such as `[AWS_*]`, besides those whose names
    look secret: `*TOKEN*`, `*SECRET*`, `*PASSWORD*`, `*PASSWD*`, `*CREDENTIAL*`, `*_KEY`, `SSH_*`."""

    environment_keep: tuple[str, ...] = ()
    """Patterns of variables that jobs get although they match the patterns above, such as `[WANDB_API_KEY, HF_TOKEN]`.
    Until the job starts, they are kept in `environment.json` of its folder, which only you can read."""

    mouse: bool = True
    """Whether the app uses the mouse. If false, the terminal selects text as usual."""

    columns: tuple[str, ...] = ()
    """The leaderboard's metrics, in order, by name or alias. Default: those of board.yaml."""

    keymap: dict[str, str] = field(default_factory=dict)
    """Keys by command id, as listed on the help screen: `{job.stop: "ctrl+k,X"}`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def runs_folder(given: Path | None, settings: Settings) -> Path:
    """The runs folder: the given one, else `runs_dir` of the settings, else ./runs, whether it exists or not."""
    return given or settings.runs_dir or Path(RUNS)


def settings_path() -> Path:
    """The path of the settings file, which may not exist."""
    from platformdirs import user_config_path

    return user_config_path(APP) / FILE


def load_settings(path: Path | None = None) -> tuple[Settings, tuple[str, ...]]:
    """(the settings of the file, a message for each problem); a key with a problem keeps its default.

    Never raises, so that the app opens with a bad settings file and shows its problems.
    """
    path = path or settings_path()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Settings(), ()
    except OSError:
        pass  # read_mapping reports the reason
    from engine.contract.errors import BadInput
    from engine.contract.yaml_file import read_mapping

    try:
        values = read_mapping(path)
    except BadInput as error:
        return Settings(), error.lines
    return _validate(values, path)


def settings_for(command: Namespace) -> Settings:
    """The settings, cached in the parsed command; their problems go to standard error, one line each."""
    if "settings" not in command:
        from engine.contract.text import clean

        command.settings, problems = load_settings()
        for line in problems:
            print(f"xray-tui: {clean(line)}", file=sys.stderr)
    settings: Settings = command.settings
    return settings


def _validate(values: dict[str, Any], path: Path) -> tuple[Settings, tuple[str, ...]]:
    from pydantic import ValidationError

    try:
        return _expanded(_adapter().validate_python(values), path)
    except ValidationError as error:
        invalid = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
        problems = _lines(error, path)
    valid = {key: value for key, value in values.items() if str(key) not in invalid}
    try:
        settings, more = _expanded(_adapter().validate_python(valid), path)
    except ValidationError:  # for example keys that are not strings
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
            lines.append(f"{path}: {name}: unknown key; expected one of {known}")
        else:
            lines.append(
                f"{path}: {name}: {clean(repr(item['input']))[:60]}: {clean(item['msg'])}; the default is used"
            )
    return tuple(dict.fromkeys(lines))


def _expanded(settings: Settings, path: Path) -> tuple[Settings, tuple[str, ...]]:
    """(the settings with every `~` expanded, a message for each path with an unknown user, which gets its default)"""
    from dataclasses import replace

    from engine.contract.text import clean

    expanded: dict[str, Path | None] = {}
    problems = []
    for name in ("runs_dir", "export", "lease_dir"):
        path_setting: Path | None = getattr(settings, name)
        try:
            expanded[name] = path_setting.expanduser() if path_setting is not None else None
        except RuntimeError:
            expanded[name] = None
            user = clean(path_setting.parts[0].removeprefix("~")) if path_setting is not None else ""
            problems.append(f"{path}: {name}: unknown user {user}; the default is used")
    return replace(settings, **expanded), tuple(problems)  # type: ignore[arg-type]
