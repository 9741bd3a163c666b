"""What every config model is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a config: unknown keys are refused, values are never changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=100.0)]
"""Of a loss term; 0 switches it off."""
EncoderWeights = Annotated[str | None, Field(min_length=1, max_length=4096)]


def _plain_run_name(name: str) -> str:
    """A run's name leads to a folder below runs/, never out of it."""
    if not name.isprintable() or any(part in ("", ".", "..") or part.startswith(".") for part in name.split("/")):
        raise ValueError("give a name such as unet_a or seeds/seed_42: no leading slash or dot, no control character")
    return name


RunName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain_run_name)]
