"""Tensor names in readable form: without counters, grouped by module."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

import torch

from engine.contract.text import clean


def counted(names: Iterable[str]) -> list[str]:
    """The names without batch norms' step counters, which older files lack and nothing here reads."""
    return [name for name in names if not name.endswith("num_batches_tracked")]


def by_module(chosen: Collection[str], everything: Iterable[str], notes: Mapping[str, str] | None = None) -> list[str]:
    """The chosen names, grouped by the largest modules that contain no other name of `everything`; a single name with
    its note if it has one.

    >>> by_module(["a.b.weight", "a.b.bias", "a.c.weight"], ["a.b.weight", "a.b.bias", "a.c.weight", "a.c.bias"])
    ['a.b (2 tensors)', 'a.c.weight']
    """
    mixed = {module for name in set(everything) - set(chosen) for module in _modules_of(name)}
    members: dict[str, list[str]] = {}
    for name in chosen:
        members.setdefault(next((module for module in _modules_of(name) if module not in mixed), name), []).append(name)
    return [
        f"{module} ({len(names)} tensors)" if len(names) > 1 else f"{names[0]}{(notes or {}).get(names[0], '')}"
        for module, names in members.items()
    ]


def some(tensors: Mapping[str, torch.Tensor]) -> str:
    """The first three names with their shapes, and the number of the others."""
    shown = [f"{name} ({shape(tensor)})" for name, tensor in islice(tensors.items(), 3)]
    more = [f"{len(tensors) - 3} more"] if len(tensors) > 3 else []
    return clean(", ".join(shown + more)) or "nothing"


def shape(tensor: torch.Tensor) -> str:
    """`64x3x7x7`, or `scalar`."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def _modules_of(name: str) -> list[str]:
    """The modules that contain a tensor, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
