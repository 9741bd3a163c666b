"""From arguments to a blend's config and run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.contract import names
from engine.contract.config import BlendConfig
from engine.contract.errors import BadInput
from engine.contract.load import apply_overrides, load_config, validate
from engine.contract.text import clean


def prepare_blend(
    config: Path | None, overrides: Sequence[str], members: Sequence[str] | None, tta: str | None, run: Path | None
) -> tuple[BlendConfig, Path]:
    """The resolved config, its members absolute, and the run folder, which is free or holds this very blend.

    Nothing is written yet. Raises BadInput.
    """
    given = _config(config, overrides)
    if members:
        given = given.model_copy(update={"members": tuple(str(Path(member).resolve()) for member in members)})
    if tta:
        given = given.model_copy(update={"tta": tta})
    if given.presence_run:
        given = given.model_copy(update={"presence_run": str(Path(given.presence_run).resolve())})
    if len(given.members) < 2 and not (given.members and given.presence_run):
        raise BadInput("members: a blend needs two runs or more, or one and presence_run; give --members runs/A runs/B")
    if len(set(given.members)) < len(given.members):
        raise BadInput("members: a run stands there twice; each once is right")
    parts = (*given.members, *([given.presence_run] if given.presence_run else []))
    folder = run or Path(names.RUNS) / (given.name or "blend_" + "_".join(Path(part).name for part in parts))
    if (folder / names.CONFIG).exists():
        if load_config(folder / names.CONFIG) != given:
            raise BadInput(f"{clean(str(folder))}: holds another run; give another --run")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{clean(str(folder))}: not an empty folder; give another --run")
    return given, folder


def _config(path: Path | None, overrides: Sequence[str]) -> BlendConfig:
    if path is None:
        values: dict[str, object] = {}
        apply_overrides(values, overrides)
        return validate(BlendConfig, values, "xray-engine blend")
    config = load_config(path, overrides)
    if not isinstance(config, BlendConfig):
        raise BadInput(f"{clean(str(path))}: kind: {config.kind}; blend needs kind: blend")
    return config
