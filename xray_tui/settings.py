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
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.contract.names import RUNS
from engine.contract.text import clean

if TYPE_CHECKING:
    from argparse import Namespace

    from pydantic_core import ErrorDetails

FILE = "settings.yaml"
APP = "xray-tui"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings with their defaults. Paths may begin with `~`; relative paths are relative to the working folder."""

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
    """Maximum number of GPUs that your jobs in one runs folder hold at once. Default: no limit."""

    slots: int = 1
    """How many of your small jobs may share a GPU. A job that names its GPUs or takes several never shares them."""

    hours: str = ""
    """The hours in which your jobs may start, such as `20:00-08:00`. Default: always."""

    theme: str = "xray"
    """The name of a theme; the command palette lists the themes."""

    gpu_detail: bool = False
    """Whether the GPUs are shown in detail from the start, if they fit into half of the screen."""

    bell: bool = True
    """Whether the terminal bell rings when one of your jobs ends while the app is open."""

    on_end: tuple[str, ...] = ()
    """A command that runs after every job, as a list of words, without a shell: `[mail-me, --from, gpu1]`. The job
    is described by $XRAY_JOB_ID, _RUN, _KIND, _STATE, _CAUSE, _FOLDER and others. The command is killed after a minute.
    A job uses the command that was set when it was launched."""

    environment_drop: tuple[str, ...] = ()
    """Patterns of variables that jobs do not inherit from the launching shell, such as `[AWS_*]`, in addition to names
    that look secret: `*TOKEN*`, `*SECRET*`, `*PASSWORD*`, `*PASSWD*`, `*CREDENTIAL*`, `*_KEY`, `SSH_*`."""

    environment_keep: tuple[str, ...] = ()
    """Patterns of variables that jobs inherit even if they match the patterns above: `[WANDB_API_KEY, HF_TOKEN]`.
    Until a job starts, they are stored in `environment.json` in its folder, which only you can read."""

    mouse: bool = True
    """Whether the app uses the mouse. If false, the terminal selects text as usual."""

    columns: tuple[str, ...] = ()
    """The leaderboard's metrics, in order, by name or alias. Default: those of board.yaml."""

    keymap: dict[str, str] = field(default_factory=dict)
    """Keys by command id, as listed on the help screen: `{job.stop: "ctrl+k,X"}`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def runs_folder(argument: Path | None, settings: Settings) -> Path:
    """The argument if given, otherwise `runs_dir` of the settings, otherwise ./runs. The folder may not exist."""
    return argument or settings.runs_dir or Path(RUNS)


def settings_path() -> Path:
    """The path of the settings file, which may not exist."""
    from platformdirs import user_config_path

    return user_config_path(APP) / FILE


def load_settings(path: Path | None = None) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings of the file and a message for each problem; an invalid key keeps its default.

    Never raises, so the app opens even with a bad settings file and shows its problems.
    """
    path = path or settings_path()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Settings(), ()
    except OSError:
        pass  # read_mapping reports the reason
    from pydantic import TypeAdapter, ValidationError

    from engine.contract.errors import BadInput
    from engine.contract.yaml_file import read_mapping

    try:
        values = {str(key): value for key, value in read_mapping(path).items()}
    except BadInput as error:
        return Settings(), error.lines
    problems = _expand_users(values)
    adapter = TypeAdapter(Settings)
    try:
        settings = adapter.validate_python(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        problems += map(_problem, errors)
        invalid = {item["loc"][0] for item in errors}
        settings = adapter.validate_python({key: value for key, value in values.items() if key not in invalid})
    return settings, tuple(f"{path}: {problem}" for problem in problems)


def _expand_users(values: dict[str, Any]) -> list[str]:
    """Expand `~` in the paths; remove paths that name an unknown user, and return a message for each."""
    problems = []
    for key in ("runs_dir", "export", "lease_dir"):
        if isinstance(text := values.get(key), str):
            try:
                values[key] = Path(text).expanduser()
            except RuntimeError:
                del values[key]
                problems.append(f"{key}: unknown user {clean(Path(text).parts[0][1:])}; the default is used")
    return problems


def _problem(error: ErrorDetails) -> str:
    from difflib import get_close_matches

    name = clean(".".join(map(str, error["loc"])))
    if error["type"] != "unexpected_keyword_argument":
        return f"{name}: {clean(repr(error['input']))[:60]}: {clean(error['msg'])}; the default is used"
    known = [setting.name for setting in fields(Settings)]
    close = get_close_matches(name, known, n=1)
    expected = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"{name}: unknown key; {expected}"


def settings_for(command: Namespace) -> Settings:
    """The settings, loaded once and cached in the parsed command. Problems are printed on standard error."""
    if "settings" not in command:
        command.settings, problems = load_settings()
        for line in problems:
            print(f"xray-tui: {clean(line)}", file=sys.stderr)
    settings: Settings = command.settings
    return settings
