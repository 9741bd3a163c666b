"""The resolved config of a launch, as text: what its YAML and `--set` give now, whatever becomes of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.files import write_whole
from engine.contract.text import clean
from xray_tui.jobs.launch.resolve import resolved_config
from xray_tui.jobs.model.request import BlendRequest, Request, TrainRequest


@dataclass(frozen=True, slots=True)
class FrozenConfig:
    """A config to be written into the job's folder."""

    request: TrainRequest | BlendRequest
    name: str
    """Of the file: as the original's, as a run without a name is called after it."""
    text: str

    def keep(self, folder: Path) -> TrainRequest | BlendRequest:
        """Write the config into the job's folder; returns the request that names it. Raises OSError."""
        path = folder / self.name
        write_whole(path, self.text, 0o644)
        return replace(self.request, config=str(path), overrides=())


def freeze_config(kind: str, request: Request | tuple[str, ...]) -> FrozenConfig | None:
    """The config that the request's file and overrides come to; None where it names no file.

    Its paths are absolute, so that they mean the same wherever the file lies. Raises BadInput with a line an error.
    """
    if not isinstance(request, TrainRequest | BlendRequest) or request.config is None:
        return None
    import yaml

    words = ["--config", request.config, *(word for override in request.overrides for word in ("--set", override))]
    values = yaml.safe_dump(resolved_config(kind, request), sort_keys=False, allow_unicode=True, width=120)
    text = f"# as launched: {clean(shlex.join(words))}\n{values}"
    return FrozenConfig(request, f"{Path(request.config).stem}.yaml", text)
