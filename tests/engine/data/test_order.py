"""Which images come when: a function of seed and epoch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from engine.contract.training import TrainingConfig
from engine.data.sampling import Batches, epoch_order


def test_a_balanced_epoch_has_its_share_of_positives_and_repeats_none_before_all() -> None:
    fractured = [index < 10 for index in range(100)]
    order = epoch_order(fractured, 1, 0, 60, 0.5)
    positives = [index for index in order if index < 10]
    assert len(order) == 60
    assert len(positives) == 30
    assert sorted(positives) == sorted([*range(10)] * 3)
    assert len(set(order) - set(positives)) == 30


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    fractured = [True, False] * 20
    assert epoch_order(fractured, 1, 2, 40, None) == epoch_order(fractured, 1, 2, 40, None)
    assert epoch_order(fractured, 1, 2, 40, None) != epoch_order(fractured, 1, 3, 40, None)
    assert epoch_order(fractured, 1, 2, 40, None) != epoch_order(fractured, 2, 2, 40, None)
    assert sorted(epoch_order(fractured, 1, 2, 40, None)) == list(range(40))


def test_batches_from_a_step_on_are_the_rest_of_all_batches() -> None:
    def batches(first_step: int) -> Batches:
        training = TrainingConfig(epochs=3, batch_size=8, positive_share=0.8, final_positive_share=0.4)
        return Batches([True, False, False] * 10, training, 5, first_step=first_step)

    everything = list(batches(0))
    assert len(everything) == len(batches(0)) == 9
    for step in (1, 3, 5, 8):
        assert list(batches(step)) == everything[step:]


def positives_an_epoch(epochs: int, first: float | None, last: float | None) -> list[int]:
    fractured = [index < 70 for index in range(100)]
    training = TrainingConfig(epochs=epochs, batch_size=10, positive_share=first, final_positive_share=last)
    batches = Batches(fractured, training, 3)
    drawn = [sum(fractured[index] for index, _ in batch) for batch in batches]
    return [sum(drawn[epoch * 10 : epoch * 10 + 10]) for epoch in range(epochs)]


def test_the_share_of_positives_slides_evenly_from_its_first_to_its_last() -> None:
    assert positives_an_epoch(5, 0.8, 0.4) == [80, 70, 60, 50, 40]
    assert positives_an_epoch(3, 0.2, 0.6) == [20, 40, 60]


def test_without_a_last_share_or_with_one_epoch_the_first_one_holds() -> None:
    assert positives_an_epoch(3, 0.8, None) == [80, 80, 80]
    assert positives_an_epoch(1, 0.8, 0.4) == [80]


def test_without_a_first_share_every_image_comes_once() -> None:
    assert positives_an_epoch(2, None, None) == [70, 70]
