"""Names of tensors as a person reads them: without counters, by the modules that they make up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

import torch

from engine.contract.text import clean


def counted(names: Iterable[str]) -> list[str]:
    """Without batch norms' counters of steps, which older files have not and nothing here reads."""
    return [name for name in names if not name.endswith("num_batches_tracked")]


def by_module(chosen: Collection[str], everything: Iterable[str], notes: Mapping[str, str] | None = None) -> list[str]:
    """All of the chosen, gathered in the largest modules that have nothing else among `everything`; what stands alone
    by its name, and its note where it has one.

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
    """The first three names with their shapes, and how many more there are."""
    shown = [f"{name} ({shape(tensor)})" for name, tensor in islice(tensors.items(), 3)]
    more = [f"{len(tensors) - 3} more"] if len(tensors) > 3 else []
    return clean(", ".join(shown + more)) or "nothing else"


def shape(tensor: torch.Tensor) -> str:
    """`64x3x7x7`, or `scalar`."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def _modules_of(name: str) -> list[str]:
    """The modules that a tensor is in, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
