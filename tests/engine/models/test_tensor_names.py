"""Tensor names, counted by module."""

from __future__ import annotations

from engine.models.tensor_names import by_module, counted


def test_tensors_are_counted_by_module_down_to_two_levels() -> None:
    assert by_module(["mask", "a.0.weight", "a.0.bias", "a.1.c.d.bias", "b.weight"]) == (
        "mask (1), a.0 (2), a.1 (1), b (1)"
    )
    assert by_module([]) == ""


def test_counters_of_batch_norm_do_not_count() -> None:
    assert counted(["bn.weight", "bn.num_batches_tracked"]) == ["bn.weight"]
