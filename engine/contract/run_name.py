"""A run's name as configs give it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _plain_run_name(name: str) -> str:
    """A run's name leads to a folder below runs/, never out of it."""
    if not name.isprintable() or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise ValueError("give a name such as unet_a or seeds/seed_42: no leading slash or dot, no control character")
    return name


RunName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_run_name)]
