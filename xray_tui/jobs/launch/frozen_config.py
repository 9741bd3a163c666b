"""The resolved config of a launch, saved with the job so that later changes of the YAML file do not affect it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.files import write_whole
from engine.contract.text import clean
from xray_tui.jobs.launch.resolve import resolved_config


def config_text(kind: str, request: Any) -> str | None:
    """The YAML text of the request's config with its overrides; None if the request names no config.

    Its paths are absolute, because the text is saved in another folder. Raises BadInput with one line per error.
    """
    if (path := getattr(request, "config", None)) is None:
        return None
    import yaml

    words = ["--config", path, *(word for override in request.overrides for word in ("--set", override))]
    values = yaml.safe_dump(resolved_config(kind, request), sort_keys=False, allow_unicode=True, width=120)
    return f"# as launched: {clean(shlex.join(words))}\n{values}"


def keep_config(folder: Path, request: Any, text: str) -> Any:
    """Write the config into the job's folder, named as the original, because a run without a name is named after it.
    Returns the request for this config. Raises OSError."""
    path = folder / f"{Path(request.config).stem}.yaml"
    write_whole(path, text, 0o644)
    return replace(request, config=str(path), overrides=())
