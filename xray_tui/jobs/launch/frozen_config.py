"""The resolved config of a launch, as text: what its YAML and `--set` give now, whatever becomes of them."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.files import write_whole
from engine.contract.text import clean
from xray_tui.jobs.launch.resolve import resolved_config


def config_text(kind: str, request: Any) -> str | None:
    """What the request's file and overrides come to; None where it names no file.

    Its paths are absolute, so that they mean the same wherever the file lies. Raises BadInput with a line an error.
    """
    if (path := getattr(request, "config", None)) is None:
        return None
    import yaml

    words = ["--config", path, *(word for override in request.overrides for word in ("--set", override))]
    values = yaml.safe_dump(resolved_config(kind, request), sort_keys=False, allow_unicode=True, width=120)
    return f"# as launched: {clean(shlex.join(words))}\n{values}"


def keep_config(folder: Path, request: Any, text: str) -> Any:
    """Write the config into the job's folder, under the name of the original: a run without a name is called after it.
    Returns the request that names it. Raises OSError."""
    path = folder / f"{Path(request.config).stem}.yaml"
    write_whole(path, text, 0o644)
    return replace(request, config=str(path), overrides=())
