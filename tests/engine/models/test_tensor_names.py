"""Names of tensors, gathered by module without hiding one."""

from __future__ import annotations

from engine.models.tensor_names import by_module, counted

EVERYTHING = ["mask", "a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias", "b.weight", "b.bias"]


def test_a_module_stands_for_its_tensors_where_all_of_them_are_meant() -> None:
    assert by_module(EVERYTHING[1:], EVERYTHING) == ["a (4 tensors)", "b (2 tensors)"]
    assert by_module(EVERYTHING[1:4], EVERYTHING) == ["a.0 (2 tensors)", "a.1.weight"]
    assert by_module([], EVERYTHING) == []


def test_a_tensor_that_stands_alone_has_its_note() -> None:
    notes = {"mask": " (4x4)", "b.bias": " (3)", "a.0.weight": " (2)"}
    assert by_module(["mask", "a.0.weight", "a.0.bias", "b.bias"], EVERYTHING, notes) == [
        "mask (4x4)",
        "a.0 (2 tensors)",
        "b.bias (3)",
    ]


def test_counters_of_batch_norm_do_not_count() -> None:
    assert counted(["bn.weight", "bn.num_batches_tracked"]) == ["bn.weight"]
