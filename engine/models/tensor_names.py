"""Tensor names in readable form: without counters, grouped by module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

import torch

from engine.contract.text import clean


def counted(names: Iterable[str]) -> list[str]:
    """The names without batch norms' step counters, which older files lack and nothing here reads."""
    return [name for name in names if not name.endswith("num_batches_tracked")]


def by_module(names: Iterable[str]) -> str:
    """The names' modules, down to two levels, each with its number of tensors.

    >>> by_module(["a.b.weight", "a.b.c.bias", "a.d.weight", "mean"])
    'a.b (2), a.d (1), mean (1)'
    """
    modules = Counter(".".join((name.rpartition(".")[0] or name).split(".")[:2]) for name in names)
    return clean(", ".join(f"{module} ({count})" for module, count in modules.items()))


def some(tensors: Mapping[str, torch.Tensor]) -> str:
    """The first three names with their shapes, and the number of the others."""
    shown = [f"{name} ({'x'.join(map(str, tensor.shape)) or 'scalar'})" for name, tensor in islice(tensors.items(), 3)]
    more = [f"{len(tensors) - 3} more"] if len(tensors) > 3 else []
    return clean(", ".join(shown + more)) or "nothing"
