"""The building blocks of all config models."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=100.0)]
"""Weight of a loss term; 0 switches the term off."""
EncoderWeights = Annotated[str | None, Field(min_length=1, max_length=4096)]


class Section(BaseModel):
    """A part of a config. Unknown keys are errors, and values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def _plain_run_name(name: str) -> str:
    """Check that a run name leads to a folder below runs/."""
    if not name.isprintable() or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise ValueError("give a name such as unet_a or seeds/seed_42: no leading slash or dot, no control character")
    return name


RunName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_run_name)]
