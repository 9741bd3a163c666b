"""What has to be as it was for a resumed training to end with the same bits, and the word where it is not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

STEPS = 2
"""Raised when a change of the engine makes the same step compute something else; 1 augmented image by image."""


def conditions(ranks: int) -> dict[str, str | int]:
    """Of the arithmetic on this CPU, by so many ranks; they are in every last.pt."""
    return {
        "ranks": ranks,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # a class of its own, which no safe load takes
        "processor": torch.backends.cpu.get_cpu_capability(),
        "steps of version": STEPS,
    }


def take_up(saved: Mapping[str, Any], ranks: int) -> None:
    """Compute with as many threads as before, because another count sums in another order. Not where OMP_NUM_THREADS
    asks for others, or there are fewer cores; that, and all else that is not as before, is said in a line."""
    if "OMP_NUM_THREADS" not in os.environ and saved["threads"] <= len(os.sched_getaffinity(0)):
        torch.set_num_threads(saved["threads"])
    before = {"steps of version": 1, **saved}
    changed = [
        f"{key} {before[key]}, now {now}" for key, now in conditions(ranks).items() if before.get(key, now) != now
    ]
    if changed:
        print(f"not bit for bit as without the interruption: {'; '.join(changed)}", flush=True)
