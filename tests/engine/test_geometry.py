"""Sizes: to the network's square and back, and the order of training images."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.geometry import content_size, image_to_input, mask_to_input, to_native


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_smooth_map_survives_the_way_there_and_back(keep_aspect: bool) -> None:
    rows, columns = np.mgrid[0:90, 0:150]
    image = (rows + columns).astype(np.uint8)
    there = image_to_input(image, 64, keep_aspect)
    assert there.shape == (64, 64)
    height, width = content_size(90, 150, 64, keep_aspect)
    back = to_native((there[:height, :width] / 255).astype(np.float32), 90, 150)
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(back[inner] * 255 - image[inner]).max() < 4


def test_keeping_the_aspect_pads_below_and_right_with_black() -> None:
    square = image_to_input(np.full((50, 100), 200, np.uint8), 64, keep_aspect=True)
    assert square[:32].min() == 200
    assert square[32:].max() == 0


def test_the_finest_mask_never_becomes_empty() -> None:
    mask = np.zeros((2000, 1500), bool)
    mask[1999, 1499] = True
    for keep_aspect in (False, True):
        assert mask_to_input(mask, 64, keep_aspect).sum() == 1


def test_an_empty_mask_stays_empty() -> None:
    assert not mask_to_input(np.zeros((200, 100), bool), 64, keep_aspect=False).any()


class TestOrder:
    """Needs torch."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch")

    def test_a_balanced_epoch_has_its_share_of_positives_and_repeats_none_before_all(self) -> None:
        from engine.data.order import epoch_order

        fractured = [index < 10 for index in range(100)]
        order = epoch_order(fractured, 1, 0, 60, 0.5)
        positives = [index for index in order if index < 10]
        assert len(order) == 60
        assert len(positives) == 30
        assert sorted(positives) == sorted([*range(10)] * 3)
        assert len(set(order) - set(positives)) == 30

    def test_the_order_depends_on_seed_and_epoch_alone(self) -> None:
        from engine.data.order import epoch_order

        fractured = [True, False] * 20
        assert epoch_order(fractured, 1, 2, 40, None) == epoch_order(fractured, 1, 2, 40, None)
        assert epoch_order(fractured, 1, 2, 40, None) != epoch_order(fractured, 1, 3, 40, None)
        assert epoch_order(fractured, 1, 2, 40, None) != epoch_order(fractured, 2, 2, 40, None)
        assert sorted(epoch_order(fractured, 1, 2, 40, None)) == list(range(40))

    def test_batches_from_a_step_on_are_the_rest_of_all_batches(self) -> None:
        from engine.data.order import Batches

        def batches(first_step: int) -> Batches:
            return Batches(
                [True, False, False] * 10, seed=5, epochs=3, batch_size=8, samples_per_epoch=None,
                positive_share=0.5, first_step=first_step,
            )  # fmt: skip

        everything = list(batches(0))
        assert len(everything) == len(batches(0)) == 9
        for step in (1, 3, 5, 8):
            assert list(batches(step)) == everything[step:]
